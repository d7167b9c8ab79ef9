// Package name makes up names for pods and containers that were given none, and
// finds what a reference to one means.
package name

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
)

// The words of generated names: what grows in a dry garden.
var (
	qualities = []string{
		"amber", "brisk", "calm", "candid", "clear", "cosy", "crisp", "dapper", "deft", "dusty", "eager", "early", "fair", "fleet",
		"fond", "frank", "gentle", "glad", "golden", "hardy", "hazy", "humble", "keen", "kind", "late", "lively", "lucid", "mellow",
		"merry", "mild", "neat", "noble", "patient", "plain", "proud", "quick", "quiet", "rapid", "ripe", "rosy", "rustic", "shady",
		"sharp", "silent", "silver", "sleek", "smooth", "snug", "solid", "spry", "steady", "still", "sunny", "sweet", "tidy", "vivid",
		"warm", "wild", "wise", "witty",
	}
	plants = []string{
		"acacia", "agave", "almond", "aloe", "anise", "apricot", "arbutus", "argan", "basil", "bay", "borage", "broom", "caper",
		"caraway", "carob", "cedar", "chicory", "cistus", "citron", "clover", "cork", "cumin", "cypress", "dill", "fennel", "fig",
		"flax", "hyssop", "iris", "jasmine", "jujube", "juniper", "laurel", "lavender", "lemon", "lentil", "lupin", "mallow", "mastic",
		"medlar", "mint", "mulberry", "myrtle", "oak", "oleander", "olive", "orange", "oregano", "palm", "pine", "pistachio", "poppy",
		"quince", "rosemary", "rue", "saffron", "sage", "sorrel", "sumac", "tamarisk", "thyme", "vetch", "vine", "yarrow",
	}
)

// Free returns a made-up name that taken does not know: two words, and some digits
// behind them once short names seem to be used up.
func Free(taken func(string) bool) string {
	for try := 0; ; try++ {
		if n := suggest(try); !taken(n) {
			return n
		}
	}
}

func suggest(try int) string {
	b := make([]byte, 2+max(0, min(try-6, 30)))
	_, _ = rand.Read(b) // never fails on Linux
	name := qualities[int(b[0])%len(qualities)] + "-" + plants[int(b[1])%len(plants)]
	if try >= 8 {
		name += "-" + hex.EncodeToString(b[2:])
	}
	return name
}

// Log is the name of the log file of a pod's container, in its so manieth attempt.
func Log(container string, attempt uint32) string {
	if attempt > 0 {
		return fmt.Sprintf("%s.%d.log", container, attempt)
	}
	return container + ".log"
}
