// Package layout gives everything in a scene its place. It is pure and knows no format:
// measures come as Metrics, in pixels for pictures and in cells for terminals, and the
// result is a Picture of boxes, outlines and texts with whole coordinates, the same for
// the same scene.
//
// What it promises, and its tests hold for every scene: boxes with one parent do not
// overlap and lie inside the parent; a text lies inside the box or outline it belongs to;
// an outline crosses the boxes of the containers that are in its namespaces and no other.
// The host's namespaces may be drawn in several outlines.
package layout

import "carob/internal/look"

// Font is a way of setting text.
type Font int

// The fonts, from large to small. Label is for kinds of namespaces, Mono for numbers of
// processes, paths and commands.
const (
	Title Font = iota
	Heading
	Name
	Label
	Small
	Mono
	// NumFonts is how many there are.
	NumFonts
)

// Tone is how much a text wants to be seen.
type Tone int

// The tones. Colored has the colour of its kind of namespace.
const (
	Normal Tone = iota
	Strong
	Soft
	Colored
)

// Role is what a box stands for.
type Role int

// The roles.
const (
	// Paper is the whole picture.
	Paper Role = iota
	// Frame is a cgroup around others.
	Frame
	// Card is a pod, or containers that share namespaces.
	Card
	// Group is the cgroup of a card.
	Group
	// Container, Sandbox, Loose are columns: Loose are processes that no engine runs.
	Container
	Sandbox
	Loose
	// Chip is a sample in the legend.
	Chip
)

// Rect is a rectangle; X and Y are its upper left corner.
type Rect struct{ X, Y, W, H int }

// Right is the first column behind it.
func (r Rect) Right() int { return r.X + r.W }

// Bottom is the first row below it.
func (r Rect) Bottom() int { return r.Y + r.H }

// Overlaps reports whether two rectangles have a point in common.
func (r Rect) Overlaps(o Rect) bool {
	return r.X < o.Right() && o.X < r.Right() && r.Y < o.Bottom() && o.Y < r.Bottom()
}

// Holds reports whether another lies inside.
func (r Rect) Holds(o Rect) bool {
	return r.X <= o.X && r.Y <= o.Y && o.Right() <= r.Right() && o.Bottom() <= r.Bottom()
}

// Point is a corner of an outline.
type Point struct{ X, Y int }

// Box is a rectangle with a meaning. Parent is the index of the box around it, -1 for
// the paper.
type Box struct {
	Rect
	Role   Role
	Parent int
	// Key names the thing for programs, "" for boxes that are none.
	Key string
	// Words are about the thing, at length.
	Words string
	// Focus is true for what was asked for.
	Focus bool
	// Kind is that of a chip.
	Kind look.Kind
	Host bool
}

// Outline is a namespace, or several, around the containers in it. Pieces are the parts
// that cross containers, Links the ways between pieces around those that are not in it;
// Path is all of it as one closed line.
type Outline struct {
	// Key names the first of the namespaces.
	Key    string
	Kinds  []look.Kind
	Host   bool
	Pieces []Rect
	Links  []Link
	Path   []Point
	// Card is the box it is in, Members are the boxes it crosses.
	Card    int
	Members []int
	Words   string
}

// Link leaves one piece at X1 and reaches the next at X2, by Y below the containers. Way
// tells the ways of several outlines of one card apart.
type Link struct{ X1, X2, Top, Y, Way int }

// Text is one line. X, Y is where its base line begins; Rect is all of its line.
type Text struct {
	X, Y int
	Rect Rect
	S    string
	Font Font
	Tone Tone
	Kind look.Kind
	// Box is the index of the box it belongs to, Outline that of the outline, -1 for
	// none. Room is how wide it may be.
	Box, Outline, Room int
}

// Bar shows the used part of a limit, in thousandths.
type Bar struct {
	Rect
	Used int
	Box  int
}

// Picture is a scene with measures.
type Picture struct {
	W, H     int
	Title    string
	Words    string
	Boxes    []Box
	Bars     []Bar
	Outlines []Outline
	Texts    []Text
}

// Metrics are the measures of a medium.
type Metrics struct {
	// Measure is the width of a text.
	Measure func(Font, string) int
	// Line is the height of a line, Ascent what of it is above the base line.
	Line, Ascent [NumFonts]int
	// Width is how wide a picture may be; 0 leaves it to its shape.
	Width int
	// Margin is around everything, Gap between boxes side by side or below each other.
	Margin, Gap int
	// Pad is between the side of a frame or card and what is inside; Head is that above
	// its first line, Foot below its last.
	Pad, Head, Foot int
	// ColPad, ColHead, ColFoot are those of containers, ColGap is between containers.
	ColPad, ColHead, ColFoot, ColGap int
	// MinCol and MaxCol bound the width of a container; a few side by side may be wider,
	// MaxRow in all.
	MinCol, MaxCol, MaxRow int
	// Lane is the height of an outline, LaneGap between outlines; Overhang is how far
	// an outline of several containers reaches beyond them, Inset how far that of one
	// stays inside.
	Lane, LaneGap, Overhang, Inset int
	// LanePad is between an outline's end and its text; Link the width of a way around.
	LanePad, Link int
	// Bar is the height of a bar, 0 for none.
	Bar int
	// Space is between parts of a container.
	Space int
	// Processes is how many are shown of one container.
	Processes int
	// Tight are the measures of a scene with many containers, nil for the same.
	Tight *Metrics
}
