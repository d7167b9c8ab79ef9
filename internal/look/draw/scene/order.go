package scene

import (
	"slices"

	"carob/internal/look"
)

// permuted is up to how many containers all orders are tried.
const permuted = 7

// order puts the containers of a card so that those that share a namespace stand side
// by side where that is possible; of equally good orders the first stays. Those outside
// of the card's cgroup stay in front.
func order(c *Card, host look.NS) {
	inside := c.Columns[c.Outside:]
	if len(inside) < 3 || len(inside) > permuted {
		return
	}
	ns := make([]look.NS, len(c.Columns))
	for i, col := range c.Columns {
		ns[i] = col.of.NS
	}
	best := slices.Clone(c.Columns)
	least := -1
	at := make([]int, len(c.Columns))
	for i := range at {
		at[i] = i
	}
	permute(at[c.Outside:], 0, func() {
		if n := breaks(at, ns, host); least < 0 || n < least {
			least = n
			for i, from := range at {
				best[i] = c.Columns[from]
			}
		}
	})
	c.Columns = best
}

// permute visits the orders of a slice, beginning with the present one.
func permute(a []int, k int, visit func()) {
	if k == len(a) {
		visit()
		return
	}
	for i := k; i < len(a); i++ {
		// Rotating instead of swapping keeps the visits in lexical order.
		moved := a[i]
		copy(a[k+1:i+1], a[k:i])
		a[k] = moved
		permute(a, k+1, visit)
		copy(a[k:i], a[k+1:i+1])
		a[i] = moved
	}
}

// breaks counts the gaps in the rows of namespaces. One in the host's counts half: it is
// everywhere, and its pieces need no way to each other.
func breaks(at []int, ns []look.NS, host look.NS) int {
	n := 0
	for _, k := range look.Kinds() {
		runs := map[uint64]int{}
		before := uint64(0)
		for i, from := range at {
			inode := ns[from][k]
			if i == 0 || inode != before {
				runs[inode]++
			}
			before = inode
		}
		for inode, r := range runs {
			n += r - 1
			if inode != host[k] {
				n += r - 1
			}
		}
	}
	return n
}
