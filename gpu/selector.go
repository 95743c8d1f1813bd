package gpu

import (
	"path"
	"slices"
	"strings"
)

// Selector selects GPUs. Each list that is not empty must have a match; patterns are of path.Match. The zero Selector selects all.
type Selector struct {
	Models  []string // patterns of the product name, case-insensitive: "*A100*"
	UUIDs   []UUID
	Indexes []int
	PCI     []PCIAddress
}

// Matches reports whether a GPU is selected. A pattern that path.Match cannot read matches nothing.
func (s Selector) Matches(g *GPU) bool {
	model := strings.ToLower(g.Model)
	return (len(s.UUIDs) == 0 || slices.Contains(s.UUIDs, g.UUID)) &&
		(len(s.Indexes) == 0 || slices.Contains(s.Indexes, g.Index)) &&
		(len(s.PCI) == 0 || slices.Contains(s.PCI, g.PCI)) &&
		(len(s.Models) == 0 || slices.ContainsFunc(s.Models, func(pattern string) bool {
			ok, err := path.Match(strings.ToLower(pattern), model)
			return ok && err == nil
		}))
}
