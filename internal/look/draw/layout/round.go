package layout

// Spot is a place between whole pixels.
type Spot struct{ X, Y float64 }

// Turn is a rounded corner: from In to Out, a quadratic curve whose control point is At.
type Turn struct{ In, At, Out Spot }

// Round rounds the corners of a closed line with right angles by a radius, or by what
// room the corner has: half of its shorter side.
func Round(path []Point, radius float64) []Turn {
	var out []Turn
	n := len(path)
	for i, p := range path {
		before, after := path[(i+n-1)%n], path[(i+1)%n]
		if before == p || p == after {
			continue
		}
		at := Spot{float64(p.X), float64(p.Y)}
		r := min(radius, float64(length(before, p))/2, float64(length(p, after))/2)
		out = append(out, Turn{toward(at, before, r), at, toward(at, after, r)})
	}
	return out
}

func length(a, b Point) int { return max(a.X-b.X, b.X-a.X) + max(a.Y-b.Y, b.Y-a.Y) }

// toward is the place r away from a on the way to b.
func toward(a Spot, b Point, r float64) Spot {
	dx, dy := float64(b.X)-a.X, float64(b.Y)-a.Y
	l := max(dx, -dx) + max(dy, -dy)
	return Spot{a.X + dx/l*r, a.Y + dy/l*r}
}
