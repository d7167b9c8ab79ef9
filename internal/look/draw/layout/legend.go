package layout

// rules are how to read a drawing.
const rules = "An outline is a namespace: the containers it crosses are in it; dashed, it is the host's own. " +
	"A box with a path is a cgroup, one with a large name a pod."

// legend explains: a sample and a word for each kind, then the rules of the drawing,
// then what could not be read.
func (c *composer) legend(room int) node {
	var all []node
	for _, k := range c.scene.Kinds {
		w := c.width(Label, k.String()) + 2*c.LanePad
		word := meaning(k)
		all = append(all, node{w: w + c.Gap/2 + c.width(Small, word), h: c.Lane, put: func(p *painter, r Rect, parent int) {
			b := p.box(Box{Rect: Rect{r.X, r.Y, w, p.Lane}, Role: Chip, Parent: parent, Kind: k})
			l := line{x: r.X + p.LanePad, y: r.Y + (p.Lane-p.Line[Label])/2, room: w - 2*p.LanePad, font: Label, box: b}
			p.set(Text{Font: Label, Tone: Colored, Kind: k, Box: b, Outline: -1}, l, k.String())
			l.font, l.x, l.room, l.tone, l.box = Small, r.X+w+p.Gap/2, p.width(Small, word), Soft, parent
			p.text(l, word)
		}})
	}
	chips := c.flow(all, room, c.LaneGap)
	lines := c.wrap(Small, rules, room)
	for _, n := range c.scene.Notes {
		lines = append(lines, c.wrap(Small, n, room)...)
	}
	h := chips.h + c.Space + len(lines)*c.Line[Small]
	return node{w: max(chips.w, room), h: h, put: func(p *painter, r Rect, parent int) {
		chips.put(p, Rect{r.X, r.Y, r.W, chips.h}, parent)
		l := line{x: r.X, y: r.Y + chips.h + p.Space, room: r.W, font: Small, tone: Soft, box: parent}
		for _, s := range lines {
			p.text(l, s)
			l.y += p.Line[Small]
		}
	}}
}
