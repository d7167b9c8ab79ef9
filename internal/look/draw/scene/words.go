package scene

import (
	"slices"
	"strings"
)

// words say who shares what: "app and sidecar share ipc, net; each has its own mnt; the
// host's: user".
func words(c *Card) string {
	var s sentence
	for _, l := range c.Lanes {
		for _, o := range l.Outlines {
			s.add(c, o)
		}
		if len(l.Outlines) == len(c.Columns) && !slices.ContainsFunc(l.Outlines, func(o Outline) bool { return o.Host }) {
			s.each = append(s.each, kindWords(l.Outlines[0])...)
		}
	}
	var out []string
	for _, p := range append(s.shared, s.some...) {
		out = append(out, p.who+" "+strings.Join(p.kinds, ", "))
	}
	switch {
	case len(s.each) > 0 && len(c.Columns) > 1:
		out = append(out, "each has its own "+strings.Join(s.each, ", "))
	case len(s.each) > 0:
		out = append(out, "it has its own "+strings.Join(s.each, ", "))
	}
	if len(s.host) > 0 {
		out = append(out, "the host's: "+strings.Join(s.host, ", "))
	}
	return strings.Join(out, "; ")
}

// sentence collects what words say: parts in the order they were first met.
type sentence struct {
	shared, some []part
	each, host   []string
}

type part struct {
	who   string
	kinds []string
}

func (s *sentence) add(c *Card, o Outline) {
	kinds, who := kindWords(o), and(members(c, o))
	switch {
	case o.Host && len(o.Members) == len(c.Columns):
		s.host = append(s.host, kinds...)
	case o.Host && len(o.Members) == 1:
		s.some = with(s.some, who+" uses the host's", kinds)
	case o.Host:
		s.some = with(s.some, who+" use the host's", kinds)
	case len(o.Members) > 1:
		s.shared = with(s.shared, who+" share", kinds)
	}
}

func with(parts []part, who string, kinds []string) []part {
	i := slices.IndexFunc(parts, func(p part) bool { return p.who == who })
	if i < 0 {
		return append(parts, part{who, kinds})
	}
	parts[i].kinds = append(parts[i].kinds, kinds...)
	return parts
}

func kindWords(o Outline) []string {
	var out []string
	for _, n := range o.Namespaces {
		out = append(out, n.Kind.String())
	}
	return out
}

func members(c *Card, o Outline) []string {
	var out []string
	for _, i := range o.Members {
		out = append(out, c.Columns[i].Name)
	}
	return out
}

func and(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}
