package status

// ChangeKind is what happened to a path.
type ChangeKind string

// The kinds, as `docker diff` names them.
const (
	Added   ChangeKind = "A"
	Changed ChangeKind = "C"
	Deleted ChangeKind = "D"
)

// Change is one difference between a container's root file system and its image's.
type Change struct {
	Kind ChangeKind `json:"kind"`
	// Path is absolute in the container.
	Path string `json:"path"`
}
