package spec

// Log says how much is kept of what a container writes, in the place that the engine
// chooses for it. A log whose path was given, as the kubelet's, is for whoever gave it
// to rotate.
type Log struct {
	// Off keeps nothing.
	Off bool `json:"off,omitempty"`
	// MaxSize is how many bytes one file comes to, about, before the next one is begun; 0 is
	// DefaultLogSize, NoLogLimit is as many as there are.
	MaxSize int64 `json:"maxSize,omitempty"`
	// MaxFiles is how many files are kept, the one that is written to included; 0 is
	// DefaultLogFiles.
	MaxFiles int `json:"maxFiles,omitempty"`
}

// What is kept of a log for which nothing else was asked: the kubelet's defaults.
const (
	DefaultLogSize  = 10 << 20
	DefaultLogFiles = 5
)

const (
	// NoLogLimit as MaxSize lets a log's one file grow.
	NoLogLimit = -1
	// MostLogFiles is the most that MaxFiles can be.
	MostLogFiles = 100
	// MinLogSize is the least that MaxSize can be.
	MinLogSize = 4 << 10
)

// LogBounds are the size of one file of c's log, in bytes, and the number of files; 0 is no
// bound.
func (c *Container) LogBounds() (size int64, files int) {
	if c.LogPath != "" || c.Log.MaxSize == NoLogLimit {
		return 0, 0
	}
	size, files = DefaultLogSize, DefaultLogFiles
	if c.Log.MaxSize != 0 {
		size = c.Log.MaxSize
	}
	if c.Log.MaxFiles != 0 {
		files = c.Log.MaxFiles
	}
	return size, files
}
