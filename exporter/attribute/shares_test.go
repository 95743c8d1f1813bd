package attribute

import (
	"math"
	"strings"
	"testing"

	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

const mib = 1 << 20

// people are the processes of a test: pid to "pod" or "pod/container".
type people map[int]string

func (p people) Container(pid int) (kubelet.UID, string, bool) {
	who, ok := p[pid]
	pod, container, _ := strings.Cut(who, "/")
	return uidOf(pod), container, ok
}

// measured is a set with the utilization (0 to 1) and memory (MiB) of entities; negative: not read.
func measured(s *gpu.Snapshot, holds []sample.Hold, use map[gpu.Entity][2]float64) *sample.Set {
	set := &sample.Set{Snapshot: s, Holds: holds, Values: map[gpu.Entity]map[gpu.Field]sample.Value{}}
	for e, v := range use {
		set.Values[e] = map[gpu.Field]sample.Value{}
		if e.Instance == gpu.NoInstance {
			set.Values[e][family.GPUUtil] = sample.Value{V: v[0] * 100}
		} else {
			set.Values[e][family.GREngine] = sample.Value{V: v[0]}
		}
		set.Values[e][family.FBUsed] = sample.Value{V: v[1]}
		if v[0] < 0 {
			set.Values[e] = nil
		}
	}
	return set
}

func hold(pod, container string, e gpu.Entity, sharing sample.Sharing) sample.Hold {
	return sample.Hold{
		Container: sample.Container{Namespace: "team", Pod: pod, Container: container, UID: uidOf(pod)},
		RuntimeID: container, Entity: e, Sharing: sharing,
	}
}

// on is a process of the whole GPU.
func on(pid int, sm float64, mb uint64) gpu.ProcessUse {
	return gpu.ProcessUse{
		Holder:   gpu.Holder{PID: pid, GPUInstance: gpu.NoInstance, ComputeInstance: gpu.NoInstance, MemoryBytes: mb * mib},
		Measured: true, SM: sm,
	}
}

func mps(pid int, mb uint64) gpu.ProcessUse {
	u := on(pid, 0.9, mb)
	u.MPS = true
	return u
}

func unmeasured(pid int) gpu.ProcessUse {
	u := on(pid, 0, 0)
	u.Measured = false
	return u
}

// in is a process of a GPU instance.
func in(gi uint32, pid int, mb uint64) gpu.ProcessUse {
	u := on(pid, 0, mb)
	u.GPUInstance, u.Measured = gi, false
	return u
}

// wanted is a share or rest: utilization and MiB, or the code and a part of the text of why not.
type wanted struct {
	util, mb     float64
	noUtil, noMB string
}

func gap(a *gpu.Absence) string {
	if a == nil {
		return ""
	}
	return string(a.Code) + ": " + a.Text
}

func same(p sample.Part, w wanted) bool {
	fits := func(a *gpu.Absence, want string, got, value float64) bool {
		if want != "" {
			return strings.Contains(gap(a), want) && got == 0
		}
		return a == nil && math.Abs(got-value) < 1e-9
	}
	return fits(p.NoUtil, w.noUtil, p.Utilization, w.util) && fits(p.NoMB, w.noMB, p.MemoryBytes/mib, w.mb)
}

type sharesCase struct {
	name   string
	holds  []sample.Hold
	use    map[gpu.Entity][2]float64
	down   string // why the whole GPU does not answer
	procs  map[gpu.UUID][]gpu.ProcessUse
	people people
	shares map[string]wanted // by pod/container
	rests  map[gpu.Entity]wanted
	why    string // part of the first rest's
}

func sharesCases() []sharesCase {
	whole, gi7, gi2 := wholeGPU.Whole(), instance(7), instance(2)
	two := []sample.Hold{hold("a", "main", whole, sample.TimeSlicing), hold("b", "main", whole, sample.TimeSlicing)}
	slice := []sample.Hold{hold("a", "main", gi7, sample.TimeSlicing), hold("b", "main", gi7, sample.TimeSlicing)}
	nameless := hold("b", "main", whole, sample.TimeSlicing)
	nameless.UID = ""
	pair := []sample.Hold{hold("a", "one", whole, sample.TimeSlicing), hold("a", "two", whole, sample.TimeSlicing)}
	use := func(e gpu.Entity, util, mb float64) map[gpu.Entity][2]float64 {
		return map[gpu.Entity][2]float64{e: {util, mb}}
	}
	procs := func(list ...gpu.ProcessUse) map[gpu.UUID][]gpu.ProcessUse {
		return map[gpu.UUID][]gpu.ProcessUse{wholeGPU: list}
	}
	sliced := func(list ...gpu.ProcessUse) map[gpu.UUID][]gpu.ProcessUse {
		return map[gpu.UUID][]gpu.ProcessUse{slicedGP: list}
	}
	const (
		unknown  = "not_attributed: 1 process of this GPU belongs to no known container"
		unknowns = "not_attributed: 2 processes of this GPU belong to no known container"
		clients  = "not_attributed: MPS does not measure"
		inMIG    = "not_attributed: the driver does not measure the processes of a GPU instance"
		unread   = "no_data: the processes"
	)
	return []sharesCase{
		{
			name: "who has a GPU alone has all of its use, whatever its processes are", holds: []sample.Hold{hold("a", "main", whole, sample.Exclusive)},
			use: use(whole, 0.7, 900), procs: procs(on(1, 0.1, 10), on(2, 0.1, 10)), people: people{2: "b"},
			shares: map[string]wanted{"a/main": {util: 0.7, mb: 900}},
		},
		{
			name: "who has a GPU instance alone, too", holds: []sample.Hold{hold("a", "main", gi7, sample.Exclusive)},
			use: use(gi7, 0.7, 900), shares: map[string]wanted{"a/main": {util: 0.7, mb: 900}},
		},
		{
			name: "what was not read of a GPU is not known of who has it", holds: []sample.Hold{hold("a", "main", whole, sample.Exclusive)},
			shares: map[string]wanted{"a/main": {noUtil: "no_data", noMB: "no_data"}},
		},
		{
			name: "nor of a GPU that is down", holds: []sample.Hold{hold("a", "main", whole, sample.Exclusive)}, use: use(whole, 0.7, 900), down: "it is silent",
			shares: map[string]wanted{"a/main": {noUtil: "lost: it is silent", noMB: "lost: it is silent"}},
		},
		{
			name: "two pods and a remainder", holds: two, use: use(whole, 0.85, 1000),
			procs: procs(on(1, 0.35, 300), on(2, 0.25, 200), on(3, 0.2, 400)), people: people{1: "a", 2: "a", 3: "b"},
			shares: map[string]wanted{"a/main": {util: 0.6, mb: 500}, "b/main": {util: 0.2, mb: 400}}, rests: map[gpu.Entity]wanted{whole: {util: 0.05, mb: 100}},
			why: "more is in use than the driver tells",
		},
		{
			name: "a small remainder needs no reason", holds: two, use: use(whole, 0.81, 1000),
			procs: procs(on(1, 0.6, 590), on(3, 0.2, 400)), people: people{1: "a", 3: "b"},
			shares: map[string]wanted{"a/main": {util: 0.6, mb: 590}, "b/main": {util: 0.2, mb: 400}}, rests: map[gpu.Entity]wanted{whole: {util: 0.01, mb: 10}},
		},
		{
			name: "parts that are more than the whole are scaled down", holds: two, use: use(whole, 0.4, 600),
			procs: procs(on(1, 0.6, 600), on(2, 0.2, 200)), people: people{1: "a", 2: "b"},
			shares: map[string]wanted{"a/main": {util: 0.3, mb: 450}, "b/main": {util: 0.1, mb: 150}}, rests: map[gpu.Entity]wanted{whole: {}},
		},
		{
			name: "a process counts for all of the time at most", holds: two, use: use(whole, 0.5, 600),
			procs: procs(on(1, 3, 300), on(2, 1, 300)), people: people{1: "a", 2: "b"},
			shares: map[string]wanted{"a/main": {util: 0.25, mb: 300}, "b/main": {util: 0.25, mb: 300}}, rests: map[gpu.Entity]wanted{whole: {}},
		},
		{
			name: "no process is told though it is in use: no number for anybody", holds: two, use: use(whole, 0.8, 500), procs: procs(),
			shares: map[string]wanted{
				"a/main": {noUtil: "not_attributed: the driver tells of no process", noMB: "not_attributed: the driver tells of no process"},
				"b/main": {noUtil: "not_attributed: the driver tells of no process", noMB: "not_attributed: the driver tells of no process"},
			},
			rests: map[gpu.Entity]wanted{whole: {util: 0.8, mb: 500}}, why: "hostPID",
		},
		{
			name: "memory that no process has says nothing of utilization", holds: two, use: use(whole, 0, 500), procs: procs(),
			shares: map[string]wanted{"a/main": {noMB: "not_attributed"}, "b/main": {noMB: "not_attributed"}},
			rests:  map[gpu.Entity]wanted{whole: {mb: 500}}, why: "hostPID",
		},
		{
			name: "no process of any kind: nobody uses it", holds: two, use: use(whole, 0, 0), procs: procs(),
			shares: map[string]wanted{"a/main": {}, "b/main": {}}, rests: map[gpu.Entity]wanted{whole: {}},
		},
		{
			name: "who runs nothing uses nothing, where all processes are known", holds: two, use: use(whole, 0.7, 500),
			procs: procs(on(1, 0.6, 300), on(2, 0.1, 200)), people: people{1: "a", 2: "stranger"},
			shares: map[string]wanted{"a/main": {util: 0.6, mb: 300}, "b/main": {}}, rests: map[gpu.Entity]wanted{whole: {util: 0.1, mb: 200}},
			why: "processes of pods that are not known to have this device: 1",
		},
		{
			name: "a replica alone is measured by its processes", holds: two[:1], use: use(whole, 0.7, 500),
			procs: procs(on(1, 0.6, 300), on(2, 0.1, 200)), people: people{1: "a", 2: "stranger"},
			shares: map[string]wanted{"a/main": {util: 0.6, mb: 300}}, rests: map[gpu.Entity]wanted{whole: {util: 0.1, mb: 200}}, why: "pods",
		},
		{
			name: "two replicas of one container are one share", holds: append(two[:1:1], two[0]), use: use(whole, 0.7, 500),
			procs: procs(on(1, 0.7, 500)), people: people{1: "a"},
			shares: map[string]wanted{"a/main": {util: 0.7, mb: 500}}, rests: map[gpu.Entity]wanted{whole: {}},
		},
		{
			name: "no process can be told: no number for anybody", holds: two, use: use(whole, 0.8, 500), procs: procs(on(1, 0.6, 300), on(2, 0.2, 200)),
			shares: map[string]wanted{"a/main": {noUtil: unknowns, noMB: unknowns}, "b/main": {noUtil: unknowns, noMB: unknowns}},
			rests:  map[gpu.Entity]wanted{whole: {util: 0.8, mb: 500}}, why: "2 processes of this GPU belong to no known container",
		},
		{
			name: "an unknown process may be of who has none, and is not of who has one", holds: two, use: use(whole, 0.8, 500),
			procs: procs(on(1, 0.6, 300), on(2, 0.2, 200)), people: people{1: "a"},
			shares: map[string]wanted{"a/main": {util: 0.6, mb: 300}, "b/main": {noUtil: unknown, noMB: unknown}},
			rests:  map[gpu.Entity]wanted{whole: {util: 0.2, mb: 200}}, why: "1 process",
		},
		{
			name: "a pod without a known UID may be any stranger", holds: []sample.Hold{two[0], nameless}, use: use(whole, 0.8, 500),
			procs: procs(on(1, 0.6, 300), on(2, 0.2, 200)), people: people{1: "a", 2: "b"},
			shares: map[string]wanted{"a/main": {util: 0.6, mb: 300}, "b/main": {noUtil: "not_attributed: processes of pods", noMB: "not_attributed"}},
			rests:  map[gpu.Entity]wanted{whole: {util: 0.2, mb: 200}}, why: "pods",
		},
		{
			name: "containers of one pod are told apart", holds: pair, use: use(whole, 0.8, 500),
			procs: procs(on(1, 0.6, 300), on(2, 0.2, 200)), people: people{1: "a/one", 2: "a/two"},
			shares: map[string]wanted{"a/one": {util: 0.6, mb: 300}, "a/two": {util: 0.2, mb: 200}}, rests: map[gpu.Entity]wanted{whole: {}},
		},
		{
			name: "or not", holds: pair, use: use(whole, 0.8, 500),
			procs: procs(on(1, 0.6, 300), on(2, 0.2, 200)), people: people{1: "a/one", 2: "a/three"},
			shares: map[string]wanted{"a/one": {util: 0.6, mb: 300}, "a/two": {noUtil: "not_attributed", noMB: "not_attributed"}},
			rests:  map[gpu.Entity]wanted{whole: {util: 0.2, mb: 200}}, why: "one of several containers",
		},
		{
			name: "processes were not read yet", holds: two, use: use(whole, 0.8, 500),
			shares: map[string]wanted{"a/main": {noUtil: unread, noMB: unread}, "b/main": {noUtil: unread, noMB: unread}},
			rests:  map[gpu.Entity]wanted{whole: {util: 0.8, mb: 500}}, why: "not read yet",
		},
		{
			name: "the GPU was not read, its processes were", holds: two, procs: procs(on(1, 0.6, 300)), people: people{1: "a"},
			shares: map[string]wanted{"a/main": {noUtil: "no_data", noMB: "no_data"}, "b/main": {noUtil: "no_data", noMB: "no_data"}},
			rests:  map[gpu.Entity]wanted{whole: {noUtil: "no_data", noMB: "no_data"}},
		},
		{
			name: "clients of MPS have memory and no utilization", holds: two, use: use(whole, 0.8, 500),
			procs: procs(mps(1, 300), mps(2, 150), on(3, 0, 50)), people: people{1: "a", 2: "b", 3: "server"},
			shares: map[string]wanted{"a/main": {noUtil: clients, mb: 300}, "b/main": {noUtil: clients, mb: 150}},
			rests:  map[gpu.Entity]wanted{whole: {util: 0.8, mb: 50}}, why: "MPS does not measure",
		},
		{
			name: "what the driver does not tell of a process is not 0", holds: two, use: use(whole, 0.8, 500),
			procs: procs(unmeasured(1), on(2, 0.2, 100)), people: people{1: "a", 2: "b"},
			shares: map[string]wanted{"a/main": {noUtil: "not_attributed: the driver", noMB: "not_attributed: the driver"}, "b/main": {util: 0.2, mb: 100}},
			rests:  map[gpu.Entity]wanted{whole: {util: 0.6, mb: 400}}, why: "the driver does not tell",
		},
		{
			name: "replicas of a GPU instance have memory and no utilization", holds: slice, use: use(gi7, 0.8, 500),
			procs: sliced(in(7, 1, 300), in(7, 2, 100), in(2, 3, 1000)), people: people{1: "a", 2: "b"},
			shares: map[string]wanted{"a/main": {noUtil: inMIG, mb: 300}, "b/main": {noUtil: inMIG, mb: 100}},
			rests:  map[gpu.Entity]wanted{gi7: {util: 0.8, mb: 100}}, why: "of a GPU instance one by one",
		},
		{
			name: "an unknown process of another GPU instance casts no doubt", holds: slice, use: use(gi7, 0.8, 500),
			procs: sliced(in(7, 1, 300), in(2, 3, 1000)), people: people{1: "a"},
			shares: map[string]wanted{"a/main": {noUtil: inMIG, mb: 300}, "b/main": {}},
			rests:  map[gpu.Entity]wanted{gi7: {util: 0.8, mb: 200}}, why: "of a GPU instance",
		},
		{
			name: "a process of an untold GPU instance is nobody's", holds: slice, use: use(gi7, 0.8, 500),
			procs: sliced(in(7, 1, 300), in(gpu.NoInstance, 2, 100)), people: people{1: "a", 2: "b"},
			shares: map[string]wanted{"a/main": {noUtil: inMIG, mb: 300}, "b/main": {noUtil: "not_attributed", noMB: "not_attributed"}},
			rests:  map[gpu.Entity]wanted{gi7: {util: 0.8, mb: 200}}, why: "or instances",
		},
		{
			name: "parts of one GPU instance", holds: []sample.Hold{hold("a", "main", gi2, sample.Exclusive), hold("b", "main", gi2, sample.Exclusive)},
			use: use(gi2, 0.8, 500), procs: sliced(in(2, 1, 300), in(2, 2, 200)), people: people{1: "a", 2: "b"},
			shares: map[string]wanted{"a/main": {noUtil: inMIG, mb: 300}, "b/main": {noUtil: inMIG, mb: 200}},
			rests:  map[gpu.Entity]wanted{gi2: {util: 0.8}}, why: "of a GPU instance",
		},
		{
			name: "use of what nobody has", use: map[gpu.Entity][2]float64{whole: {0.3, 100}, gi7: {0, 0}, gi2: {0, 1}},
			rests: map[gpu.Entity]wanted{whole: {util: 0.3, mb: 100}, gi2: {mb: 1}}, why: "no container is known to have it",
		},
		{
			name: "a hold without an entity has no share", holds: []sample.Hold{hold("a", "main", gpu.Entity{}, sample.Exclusive)}, use: use(whole, 0, 0),
		},
		{
			name: "a whole GPU in MIG mode that another plugin gave away", holds: []sample.Hold{hold("a", "main", slicedGP.Whole(), sample.Exclusive)},
			use: use(slicedGP.Whole(), 0.5, 100), shares: map[string]wanted{"a/main": {util: 0.5, mb: 100}},
		},
	}
}

func TestShares(t *testing.T) {
	for _, c := range sharesCases() {
		t.Run(c.name, func(t *testing.T) {
			set := measured(node(t), c.holds, c.use)
			if c.down != "" {
				set.Down = map[gpu.UUID]string{wholeGPU: c.down}
			}
			shares, rests := Shares(set, c.procs, c.people)
			if len(shares) != len(c.shares) || len(rests) != len(c.rests) {
				t.Fatalf("shares %+v, rests %+v", shares, rests)
			}
			for _, s := range shares {
				want, ok := c.shares[s.Pod+"/"+s.Container.Container]
				if !ok || !same(s.Part, want) {
					t.Errorf("%s/%s: %v %v MiB, %s, %s", s.Pod, s.Container.Container, s.Utilization, s.MemoryBytes/mib, gap(s.NoUtil), gap(s.NoMB))
				}
			}
			for i, r := range rests {
				want, ok := c.rests[r.Entity]
				if !ok || !same(r.Part, want) {
					t.Errorf("rest of %+v: %v %v MiB, %s, %s", r.Entity, r.Utilization, r.MemoryBytes/mib, gap(r.NoUtil), gap(r.NoMB))
				}
				if i == 0 && (!strings.Contains(r.Why, c.why) || (c.why == "") != (r.Why == "")) {
					t.Errorf("the rest is %q", r.Why)
				}
			}
		})
	}
}

// TestSharesAsksLittle: a process is looked up once for a GPU, and not at all where nobody shares.
func TestSharesAsksLittle(t *testing.T) {
	asked := 0
	ask := askFunc(func(int) (kubelet.UID, string, bool) { asked++; return uidOf("a"), "", true })
	holds := []sample.Hold{
		hold("a", "main", wholeGPU.Whole(), sample.Exclusive),
		hold("a", "main", instance(7), sample.TimeSlicing), hold("b", "main", instance(2), sample.TimeSlicing),
	}
	procs := map[gpu.UUID][]gpu.ProcessUse{wholeGPU: {on(1, 1, 1)}, slicedGP: {in(7, 2, 1), in(2, 3, 1)}}
	Shares(measured(node(t), holds, nil), procs, ask)
	if asked != 2 {
		t.Errorf("asked %d times of 2 processes", asked)
	}
}

type askFunc func(pid int) (kubelet.UID, string, bool)

func (f askFunc) Container(pid int) (kubelet.UID, string, bool) { return f(pid) }
