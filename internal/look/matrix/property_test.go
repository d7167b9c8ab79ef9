package matrix

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"carob/internal/look"
)

// random is a host of processes in few namespaces of each kind, so that they meet.
func random(r *rand.Rand) string {
	var b strings.Builder
	b.WriteString("1 0 0 1 / init\n")
	for pid := 10; pid < 10+r.IntN(12); pid++ {
		fmt.Fprintf(&b, "%d 1 0 %d /docker/%064x p%d\n ", pid, pid, pid, pid)
		for _, k := range look.Kinds() {
			if n := r.IntN(5); n > 0 {
				fmt.Fprintf(&b, " %s=%d", k, 100*int(k)+n)
			}
		}
		fmt.Fprintf(&b, " mnt=%d\n", 1+r.IntN(20)) // one at least
	}
	return b.String()
}

// TestEveryStatementIsTrue holds labels and statements of random hosts against the
// numbers: no label lies, no statement lies, and nothing is left unsaid.
func TestEveryStatementIsTrue(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		h := host(t, random(r), look.Options{})
		m := Build(h, Options{All: true})
		rows := map[string]Row{}
		for _, row := range m.Rows {
			rows[row.Name] = row
		}
		labels(t, m)
		said := map[string]int{}
		for _, s := range m.Says {
			for _, k := range s.Kinds {
				statement(t, m, s, k, rows)
				for _, who := range s.Who {
					said[who+" "+k.String()]++
				}
			}
		}
		for _, row := range m.Rows {
			for _, k := range look.Kinds() {
				if n := said[row.Name+" "+k.String()]; n != 1 && row.Class != ClassHost {
					t.Errorf("%d statements about %s of %s", n, k, row.Name)
				}
			}
		}
	}
}

func labels(t *testing.T, m Matrix) {
	t.Helper()
	for _, k := range look.Kinds() {
		for i, a := range m.Rows {
			for _, b := range m.Rows[:i] {
				same := a.Cells[k] == b.Cells[k] && a.Cells[k] != Own
				if same != (a.NS[k] == b.NS[k]) {
					t.Errorf("%s: %s is %q with %d, %s is %q with %d", k, a.Name, a.Cells[k], a.NS[k], b.Name, b.Cells[k], b.NS[k])
				}
			}
		}
	}
}

func statement(t *testing.T, m Matrix, s Statement, k look.Kind, rows map[string]Row) {
	t.Helper()
	n := rows[s.Who[0]].NS[k]
	for _, who := range s.Who {
		own := rows[who].NS[k]
		if s.Says == Share && own != n || s.Says == AreHosts && own != m.Host[k] || s.Says == HaveOwn && own == m.Host[k] {
			t.Errorf("%q: %s of %s is %d", s.Text, k, who, own)
		}
	}
	for _, r := range m.Rows {
		in := slices.Contains(s.Who, r.Name)
		if s.Says == Share && (r.NS[k] == n) != in {
			t.Errorf("%q: %s of %s is %d, which is not said", s.Text, k, r.Name, r.NS[k])
		}
		if s.Says == HaveOwn && len(s.Who) == 1 && !in && r.NS[k] == n {
			t.Errorf("%q: %s of %s is the same", s.Text, k, r.Name)
		}
	}
}
