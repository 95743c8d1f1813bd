package parted

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// Named makes the configurations that mig-parted would ship for the GPUs of a node, from what their driver says: all-disabled,
// all-enabled, all-<profile> with as many instances as fit (`+` of the profile is `.`), and all-balanced. It is empty for a node
// whose GPUs have no MIG.
func Named(gpus []GPU) *File {
	kinds := kindsOf(gpus)
	f := &File{}
	if len(kinds) == 0 {
		return f
	}
	several := slices.ContainsFunc(gpus, func(g GPU) bool { return g.DeviceID != gpus[0].DeviceID })
	add := func(name string, of func(*kind) []count) {
		if c := (config{name, entries(name, kinds, several, of)}); len(c.entries) > 0 {
			f.configs = append(f.configs, c)
		}
	}
	f.configs = append(f.configs,
		config{"all-disabled", []entry{{field: "all-disabled", all: true}}},
		config{"all-enabled", []entry{{field: "all-enabled", all: true, enabled: true}}})
	var all []mig.Profile
	for _, k := range kinds {
		for p := range k.most {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, compare)
	for _, p := range slices.Compact(all) {
		add("all-"+strings.ReplaceAll(p.String(), "+", "."), func(k *kind) []count {
			if k.most[p] == 0 {
				return nil
			}
			return []count{{profile: p, n: k.most[p]}}
		})
	}
	add("all-balanced", func(k *kind) []count { return k.balanced })
	return f
}

// kind is a type of GPU.
type kind struct {
	device   uint32
	most     map[mig.Profile]int // how many of a profile fit on one
	balanced []count
}

// kindsOf are the types of GPUs with MIG, by the first of each.
func kindsOf(gpus []GPU) (out []*kind) {
	planner := plan.New()
	for i := range gpus {
		g := &gpus[i]
		seen := func(k *kind) bool { return k.device == g.DeviceID }
		if len(g.Geometry.Profiles) == 0 || slices.ContainsFunc(out, seen) {
			continue
		}
		k := &kind{device: g.DeviceID, most: map[mig.Profile]int{}}
		for _, p := range g.Geometry.Profiles {
			if _, err := mig.ParseProfile(p.Profile.String()); err != nil {
				continue // the driver did not tell what it is
			}
			// The driver's word is not always true (A30).
			fit := together(planner, g.Geometry, []plan.Count{{Profile: p.Profile, Count: p.Max}})
			if len(fit) == 1 {
				k.most[p.Profile] = fit[0].Count
			}
		}
		k.balanced = balanced(planner, g.Geometry, k.most)
		out = append(out, k)
	}
	return out
}

// balanced is a bit of each size: 1g, 1g, 2g and 3g where they fill a GPU, otherwise 1g, 1g and 2g. Of the profiles of one size
// without attributes it takes the one of which most fit.
func balanced(planner *plan.Planner, g mig.Geometry, most map[mig.Profile]int) []count {
	size := func(slices int) (best mig.Profile) {
		for p, n := range most {
			if p.Slices == slices && p.Attributes == "" && cmp.Or(cmp.Compare(n, most[best]), compare(best, p)) > 0 {
				best = p
			}
		}
		return best
	}
	one, two, three := size(1), size(2), size(3)
	for _, want := range [][]plan.Count{{{Profile: one, Count: 2}, {Profile: two, Count: 1}, {Profile: three, Count: 1}}, {{Profile: one, Count: 2}, {Profile: two, Count: 1}}} {
		known := !slices.ContainsFunc(want, func(c plan.Count) bool { return c.Profile == mig.Profile{} })
		if known && slices.Equal(together(planner, g, want), want) {
			var out []count
			for _, c := range want {
				out = append(out, count{profile: c.Profile, n: c.Count})
			}
			return out
		}
	}
	return nil
}

// entries are one for each distinct thing that types of GPUs are to be; with several types on the node each names its own.
func entries(name string, kinds []*kind, several bool, of func(*kind) []count) (out []entry) {
	for _, k := range kinds {
		counts := of(k)
		if len(counts) == 0 {
			continue
		}
		i := slices.IndexFunc(out, func(e entry) bool { return slices.Equal(e.counts, counts) })
		if i < 0 {
			i = len(out)
			out = append(out, entry{field: name, all: true, enabled: true, counts: counts})
		}
		if several {
			out[i].filters = append(out[i].filters, filter{text: fmt.Sprintf("0x%08X", k.device), device: k.device})
		}
	}
	return out
}
