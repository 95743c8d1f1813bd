package plan

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"github.com/gpulet/gpulet/gpu/mig"
)

// Planner makes plans. Its memory of layouts only saves time; several goroutines may use one Planner.
type Planner struct {
	mu     sync.Mutex
	tables map[string]*table // guarded by mu, the tables themselves never change
	memory sync.Pool         // of *scratch
}

// New makes a Planner.
func New() *Planner {
	return &Planner{tables: map[string]*table{}, memory: sync.Pool{New: func() any { return &scratch{} }}}
}

// run is one plan in the making.
type run struct {
	policy  *Policy
	effort  effort
	sites   []*site
	demands []*Demand // in the order of service
	kinds   kinds
	sizes   [][]int64
	least   vec // what the policy keeps
	served  []*Demand
	granted []Grant
	given   map[gift]string // who a slot or a GPU was granted to
	refused map[string]Cause
	fit     []Fit
	reasons map[Ask]Unmet
	cost    int64
	exact   bool
	scratch *scratch
}

// gift is a device of a site: a slot, the zero one for the whole GPU.
type gift struct {
	site int
	slot mig.Slot
}

// effort bounds the work of one plan: how many states of one site each round of the search for the cheapest way keeps, and how many
// steps the search for room for one demand takes. A round that left no state out is exact, and the last.
type effort struct {
	widths []int
	steps  int
}

func usualEffort() effort { return effort{widths: []int{24, 100, 50_000}, steps: 200_000} }

// Plan makes the plan of one node.
func (p *Planner) Plan(in Input) Plan { return p.plan(in, usualEffort()) }

func (p *Planner) plan(in Input, e effort) Plan {
	r := &run{
		policy: &in.Policy, effort: e, given: map[gift]string{}, refused: map[string]Cause{}, reasons: map[Ask]Unmet{}, exact: true, scratch: p.memory.Get().(*scratch),
	}
	defer p.memory.Put(r.scratch)
	r.read(p, &in)
	r.order(in.Demands)
	r.choose()
	r.grant()
	return r.result()
}

// read makes the sites, by index.
func (r *run) read(p *Planner, in *Input) {
	gpus := slices.Clone(in.GPUs)
	slices.SortFunc(gpus, func(a, b GPU) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), strings.Compare(string(a.UUID), string(b.UUID)))
	})
	var sp *space
	for i := range gpus {
		g := &gpus[i]
		g.Claims, g.Instances = slices.Clone(g.Claims), slices.Clone(g.Instances)
		slices.SortFunc(g.Claims, func(a, b Claim) int { return cmp.Or(byStart(a.Slot, b.Slot), strings.Compare(a.Holder, b.Holder)) })
		slices.SortFunc(g.Instances, func(a, b Instance) int { return byStart(a.Slot, b.Slot) })
		if i == 0 || !sameGeometry(g, &gpus[i-1]) {
			sp = spaceOf(&g.Geometry, g.Apart)
		}
		s := newSite(g, sp, r.policy)
		usable := s.exists
		if s.canSlice {
			usable |= s.allowed
		}
		s.tb = p.table(sp, s.base, usable, s.worth)
		r.sites = append(r.sites, s)
	}
}

func sameGeometry(a, b *GPU) bool {
	return a.Geometry.Axis == b.Geometry.Axis && slices.Equal(a.Apart, b.Apart) && slices.EqualFunc(a.Geometry.Profiles, b.Geometry.Profiles, func(p, q mig.ProfileInfo) bool {
		return p.Profile == q.Profile && p.ID == q.ID && p.Max == q.Max && p.Engines == q.Engines && slices.Equal(p.Placements, q.Placements)
	})
}

// order sorts the demands and finds their kinds.
func (r *run) order(demands []Demand) {
	for i := range demands {
		r.demands = append(r.demands, &demands[i])
	}
	slices.SortStableFunc(r.demands, func(a, b *Demand) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(b.Age, a.Age), strings.Compare(a.ID, b.ID))
	})
	room, keep := 0, r.policy.KeepWhole
	for _, s := range r.sites {
		if s.claimed {
			keep--
		}
		if s.spared = s.canWhole && s.Role != Pinned && s.fresh == 0 && (!s.Mode.On || !s.Cooling); s.spared {
			room++
		}
	}
	if keep = min(room, keep); keep > 0 {
		r.kinds = append(r.kinds, kept())
		r.least.set(0, keep)
	}
	for _, d := range r.demands {
		if fresh := r.news(d); len(r.kinds)+len(fresh) <= maxKinds {
			r.kinds = append(r.kinds, fresh...)
		}
	}
	for _, c := range merge(r.policy.Spares) {
		if res := (Resource{c.Profile}); c.Count > 0 && len(r.kinds) < maxKinds && r.kinds.of(res) < 0 {
			r.kinds = append(r.kinds, res)
		}
	}
	r.measure()
}

// news are the resources of a demand that no earlier one asks for.
func (r *run) news(d *Demand) (out []Resource) {
	for _, a := range d.Asks {
		if a.Count > 0 && r.kinds.of(a.Resource) < 0 && !slices.Contains(out, a.Resource) {
			out = append(out, a.Resource)
		}
	}
	return out
}

// measure gives each kind its size in memory slices and in compute slices.
func (r *run) measure() {
	r.sizes = [][]int64{make([]int64, len(r.kinds)), make([]int64, len(r.kinds))}
	for i, k := range r.kinds {
		for _, s := range r.sites {
			if k.Whole() || k == kept() {
				r.sizes[0][i] = max(r.sizes[0][i], int64(s.sp.axis), 1)
				r.sizes[1][i] = max(r.sizes[1][i], int64(s.sp.total&0x7f), 1)
				continue
			}
			for j := range s.sp.profiles {
				if p := &s.sp.profiles[j]; p.Profile == k.Profile {
					r.sizes[0][i] = max(r.sizes[0][i], int64(width(p)))
					r.sizes[1][i] = max(r.sizes[1][i], int64(p.Profile.Slices))
				}
			}
		}
		r.sizes[0][i], r.sizes[1][i] = max(r.sizes[0][i], 1), max(r.sizes[1][i], 1)
	}
}

// needs is what a demand asks for; why is why no plan could look at it.
func (r *run) needs(d *Demand) (v vec, why Cause) {
	for _, a := range d.Asks {
		if a.Count < 1 {
			continue
		}
		k := r.kinds.of(a.Resource)
		if k < 0 || v.at(k)+a.Count > maxCount {
			return v, CauseLimit
		}
		v.set(k, v.at(k)+a.Count)
	}
	return v, ""
}

// class tells sites with the same options: of a GPU with the same table, the same instances and the same abilities.
type class struct {
	tb                     *table
	exists, fresh, offered uint64
	allowed                uint64
	on, slice, whole       bool
	touched                bool
	split                  int
	lent                   vec
	kept, spared           bool
	barred                 uint64
}

// options are those of all sites; sites of one class share theirs.
func (r *run) options(limit vec) [][]option {
	out := make([][]option, len(r.sites))
	seen := map[class]int{}
	for i, s := range r.sites {
		c := class{s.tb, s.exists, s.fresh, s.offered, s.allowed, s.Mode.On, s.canSlice, s.canWhole, s.touched, s.SplitCost, s.given(r.kinds, 0), s.kept != nil, s.spared, s.barred()}
		if j, same := seen[c]; same && s.Role != Declared {
			out[i] = out[j]
			continue
		}
		if s.Role != Declared {
			seen[c] = i
		}
		out[i] = s.options(r.kinds, limit)
	}
	return out
}

// choose decides which demands are served and how each site is divided.
func (r *run) choose() {
	var limit vec
	for _, d := range r.demands {
		if v, why := r.needs(d); why == "" {
			limit = limit.plus(v)
		}
	}
	for _, v := range r.spares() {
		limit = limit.plus(v)
	}
	limit = atLeast(limit, r.least)
	all := r.options(limit)
	a := newAcceptance(all, r.sizes, r.least, r.effort.steps)
	a.can(r.least)
	reserved := false
	for _, d := range r.demands {
		needs, why := r.needs(d)
		switch {
		case why != "":
			r.refused[d.ID] = why
		case a.accept(needs):
			r.served = append(r.served, d)
		default:
			r.refused[d.ID] = CauseHeld
			if !reserved {
				a, reserved = r.reserve(d, a, limit)
			}
		}
	}
	if reserved {
		all = r.options(limit)
	}
	w := r.addSpares(all, a, r.cheapest(all, a, a.taken))
	r.exact, r.cost = a.exact && w.exact, w.cost
	for i, s := range r.sites {
		s.set, s.whole = w.picked[i].set, w.picked[i].whole
	}
}

// way is a way to give what is wanted: an option for each site.
type way struct {
	wants  vec
	picked []option
	cost   int64
	exact  bool
}
