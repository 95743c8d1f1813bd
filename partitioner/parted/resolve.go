package parted

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// Resolve says what a configuration makes of each GPU. Entries apply in the order of the file, the last one that matches a GPU
// decides. GPUs that none matches are not in the map; nor are GPUs without MIG that only `devices: all` would match. The error is
// a ProblemsError: an unknown name, a profile that a GPU does not have, instances that do not fit on it together.
func (f *File) Resolve(config string, gpus []GPU) (map[gpu.UUID]Target, error) {
	c := f.find(config)
	if c == nil {
		return nil, ProblemsError{{Text: fmt.Sprintf("there is no configuration %q; %s", config, wanted(config, f.Names()))}}
	}
	r := resolver{planner: plan.New(), targets: map[gpu.UUID]Target{}}
	for i := range c.entries {
		for g := range gpus {
			r.apply(&c.entries[i], &gpus[g])
		}
	}
	if len(r.found) > 0 {
		return nil, r.problems()
	}
	return r.targets, nil
}

// resolver gathers targets and, by what is wrong, the GPUs that it is wrong for.
type resolver struct {
	planner *plan.Planner
	targets map[gpu.UUID]Target
	found   []Problem
	gpus    map[Problem][]int
}

func (r *resolver) fail(e *entry, line int, field string, g *GPU, format string, args ...any) {
	p := Problem{e.file, line, field, fmt.Sprintf(format, args...)}
	if r.gpus == nil {
		r.gpus = map[Problem][]int{}
	}
	if r.gpus[p] == nil {
		r.found = append(r.found, p)
	}
	r.gpus[p] = append(r.gpus[p], g.Index)
}

func (r *resolver) problems() ProblemsError {
	out := make(ProblemsError, len(r.found))
	for i, p := range r.found {
		out[i] = p
		out[i].Text = ListGPUs(r.gpus[p]) + ": " + p.Text
	}
	return out
}

// ListGPUs names GPUs by their indexes: "GPU 3", "GPUs 0-2, 5".
func ListGPUs(indexes []int) string {
	indexes = slices.Compact(slices.Sorted(slices.Values(indexes)))
	var parts []string
	for i := 0; i < len(indexes); {
		j := i
		for j+1 < len(indexes) && indexes[j+1] == indexes[j]+1 {
			j++
		}
		part := strconv.Itoa(indexes[i])
		if j > i {
			part = fmt.Sprintf("%d-%d", indexes[i], indexes[j])
		}
		parts, i = append(parts, part), j+1
	}
	if len(indexes) == 1 {
		return "GPU " + parts[0]
	}
	return "GPUs " + strings.Join(parts, ", ")
}

func (r *resolver) apply(e *entry, g *GPU) {
	if !e.all && !slices.Contains(e.indexes, g.Index) {
		return
	}
	matches, unsure := e.filtered(g)
	if unsure != "" {
		r.fail(e, e.line, join(e.field, "device-filter"), g, "whether %s means it cannot be told: what board it is on is not known", unsure)
		return
	}
	if !matches {
		return
	}
	if len(g.Geometry.Profiles) == 0 {
		switch {
		case e.all: // mig-parted passes over them too
		case e.enabled:
			r.fail(e, e.line, join(e.field, "devices"), g, "it cannot be divided: it has no MIG")
		default:
			r.targets[g.UUID] = Target{}
		}
		return
	}
	if !e.enabled {
		r.targets[g.UUID] = Target{}
		return
	}
	if counts, ok := r.counts(e, g); ok {
		r.targets[g.UUID] = Target{MIG: true, Counts: counts}
	}
}

// filtered reports whether a GPU passes the entry's filter, or by which filter that cannot be told.
func (e *entry) filtered(g *GPU) (ok bool, unsure string) {
	if len(e.filters) == 0 {
		return true, ""
	}
	for _, f := range e.filters {
		switch {
		case f.device != g.DeviceID:
		case f.subsystem == 0 || f.subsystem == g.SubsystemID:
			return true, ""
		case g.SubsystemID == 0:
			unsure = f.text
		}
	}
	return false, unsure
}

// counts checks what an entry wants of a GPU.
func (r *resolver) counts(e *entry, g *GPU) (out []plan.Count, ok bool) {
	field := join(e.field, "mig-devices")
	ok = true
	for _, c := range e.counts {
		at := fmt.Sprintf("%s[%q]", field, c.profile)
		if c.profile.IsSlice() {
			r.fail(e, c.line, at, g, "compute instances smaller than their GPU instance are not made; ask for %s", c.profile.Instance())
			ok = false
			continue
		}
		i := slices.IndexFunc(g.Geometry.Profiles, func(p mig.ProfileInfo) bool { return p.Profile == c.profile })
		if i < 0 {
			r.fail(e, c.line, at, g, "there is no profile %s here; %s", c.profile, wanted(c.profile.String(), profiles(&g.Geometry)))
			ok = false
			continue
		}
		if most := g.Geometry.Profiles[i].Max; c.n > most {
			r.fail(e, c.line, at, g, "at most %d of %s fit, not %d", most, c.profile, c.n)
			ok = false
			continue
		}
		out = append(out, plan.Count{Profile: c.profile, Count: c.n})
	}
	slices.SortFunc(out, func(a, b plan.Count) int { return compare(a.Profile, b.Profile) })
	if !ok || len(out) == 0 {
		return out, ok
	}
	if fit := together(r.planner, g.Geometry, out); !slices.Equal(fit, out) {
		line := e.counts[0].line
		r.fail(e, line, field, g, "%s do not fit together; the most of it that does is %s", sentence(out), sentence(fit))
		return nil, false
	}
	return out, true
}

// together is the most of some instances that fit on an empty GPU beside each other.
func together(p *plan.Planner, g mig.Geometry, counts []plan.Count) []plan.Count {
	made := p.Plan(plan.Input{GPUs: []plan.GPU{{
		UUID: "GPU-0", Geometry: g, Mode: plan.Mode{On: true, May: true}, Role: plan.Declared, Declared: counts,
	}}})
	have := map[mig.Profile]int{}
	for _, l := range made.GPUs {
		for _, s := range l.Slots {
			have[s.Profile]++
		}
	}
	return Counts(have)
}

// Counts orders numbers of instances as a Target does: the smallest profile first.
func Counts(have map[mig.Profile]int) []plan.Count {
	out := make([]plan.Count, 0, len(have))
	for p, n := range have {
		out = append(out, plan.Count{Profile: p, Count: n})
	}
	slices.SortFunc(out, func(a, b plan.Count) int { return compare(a.Profile, b.Profile) })
	return out
}

// compare orders profiles: the smallest first.
func compare(a, b mig.Profile) int {
	return cmp.Or(
		cmp.Compare(a.Slices, b.Slices), cmp.Compare(a.MemoryGB, b.MemoryGB),
		cmp.Compare(a.Attributes, b.Attributes), cmp.Compare(a.Compute, b.Compute),
	)
}

func profiles(g *mig.Geometry) (out []string) {
	all := slices.Clone(g.Profiles)
	slices.SortFunc(all, func(a, b mig.ProfileInfo) int { return compare(a.Profile, b.Profile) })
	for _, p := range all {
		out = append(out, p.Profile.String())
	}
	return out
}

// String reads as "2 x 1g.10gb, 1 x 3g.40gb", or what stands for no instances.
func (t Target) String() string {
	if !t.MIG {
		return "MIG off"
	}
	return sentence(t.Counts)
}

func sentence(counts []plan.Count) string {
	if len(counts) == 0 {
		return "no instances"
	}
	parts := make([]string, len(counts))
	for i, c := range counts {
		parts[i] = fmt.Sprintf("%d x %s", c.Count, c.Profile)
	}
	return strings.Join(parts, ", ")
}
