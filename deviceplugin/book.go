package deviceplugin

import (
	"cmp"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

// key is a device under a name: what the kubelet picks.
type key struct{ resource, id string }

// stage is where a device under a name stands between its first listing and its removal.
type stage int

// The stages. From live to released a spot has its hardware to itself: nothing that overlaps is listed as healthy.
const (
	unlisted  stage = iota // wanted, but something else has the hardware
	live                   // listed, healthy or not as the device is
	lowering               // no longer wanted; the Node is told first, still listed as healthy
	withdrawn              // listed as unhealthy; the kubelet may not have noticed
	released               // listed as unhealthy because it is claimed or was healthy lately; the kubelet cannot pick it
)

func (s stage) String() string {
	return [...]string{"unlisted", "live", "lowering", "withdrawn", "released"}[s]
}

// spot is a device under a name, from its first listing to its removal.
type spot struct {
	key
	device gpu.Device
	named  Named  // as it was named last
	wanted bool   // it still is named so
	barred string // why it is to leave although it is wanted
	stage  stage
	since  time.Time // of the stage
	why    string    // what it waits for
	claims []kubelet.Claim
	entry  entry // as it is listed

	badSince   time.Time // it is listed as unhealthy without a break; zero while it is healthy
	badVersion uint64    // the table that said so first; 0 while it is healthy
	told       time.Time // when that table was seen to be with the kubelet
	specless   time.Time // since when its spec is missing; zero while it is there or not expected
}

func (s *spot) enter(to stage, now time.Time, why string) {
	if s.stage != to {
		s.stage, s.since = to, now
	}
	s.why = why
}

// has reports whether the spot has its hardware to itself.
func (s *spot) has() bool { return s.stage == live || s.stage == lowering || s.stage == withdrawn }

// facts are what one step of the book looks at.
type facts struct {
	naming   Naming
	version  uint64 // of the offers
	snapshot *gpu.Snapshot
	claims   *kubelet.ClaimSet
	pods     *kubelet.Pods // nil: nobody tells
	// api: there is an API server to tell; node is what it says of this Node, nil while it is not known.
	api     bool
	node    map[string]int64
	patched map[string]patched
	streams map[string]delivery
	counted *kubelet.Assigned // nil: nobody asks
	// ready says why a device cannot be given, from memory. late: an Allocate does not need it yet, only the start of a container.
	ready func(Named) error
	late  bool
	// trouble says why a base device is not given anew after containers failed to start on it, and until when; empty when it is.
	trouble func(base string, now time.Time) (why string, until time.Time)
}

// patched is what the Node was told last of a resource.
type patched struct {
	Count
	at time.Time
}

// delivery is how far the lists of a resource came: open streams, and the oldest version that is the newest on any of them.
type delivery struct {
	open    int
	version uint64
}

// book keeps which device is listed under which name, and as what. It belongs to one goroutine, and knows time and the world
// only as arguments: what it does can be tested without either.
type book struct {
	spots   map[key]*spot
	shelves map[string]*shelf
	retired map[string]time.Time  // resources that ended, whose name is to leave the Node
	known   map[string]gpu.Device // devices behind claimed ids
	held    map[gpu.UUID][]held
	unsure  bool // the kubelet counted something lately that is in the way
	now     time.Time
	next    time.Time // when to look again; zero: at the next change
}

func newBook() *book {
	return &book{spots: map[key]*spot{}, shelves: map[string]*shelf{}, retired: map[string]time.Time{}, known: map[string]gpu.Device{}}
}

// step brings the tables up to the facts.
func (b *book) step(f facts, now time.Time) {
	b.now, b.next = now, time.Time{}
	b.prepare(f.naming.Possible)
	b.account(f)
	b.want(f)
	b.leave(f)
	b.grant(f)
	for _, s := range b.spots {
		b.judge(s, f)
	}
	b.forget()
	b.shelve()
}

// wake asks for a look at a time.
func (b *book) wake(at time.Time) {
	if b.next.IsZero() || at.Before(b.next) {
		b.next = at
	}
}

// want takes over the names. What is no longer wanted, or is barred, begins to leave.
func (b *book) want(f facts) {
	for _, s := range b.spots {
		s.wanted, s.barred = false, ""
	}
	for _, n := range f.naming.Devices {
		k := key{n.Resource, n.ID}
		s := b.spots[k]
		if s == nil {
			s = &spot{key: k, since: b.now}
			b.spots[k] = s
		}
		s.wanted, s.named, s.device = true, n, n.Device
	}
	for k, s := range b.spots {
		if s.wanted {
			s.barred = b.crowded(s)
		}
		switch {
		case s.wanted && s.barred == "":
			if s.stage == lowering {
				s.enter(live, b.now, "")
			}
		case s.stage == unlisted && !s.wanted:
			delete(b.spots, k)
		case s.stage == live && s.entry.healthy:
			s.enter(lowering, b.now, "")
		case s.stage == live: // nobody counts on it
			s.enter(withdrawn, b.now, "")
		}
	}
}

// grant lets wanted spots have their hardware where nobody else has it.
func (b *book) grant(f facts) {
	on := map[gpu.UUID][]*spot{}
	for _, s := range b.spots {
		if s.has() {
			on[s.device.GPU] = append(on[s.device.GPU], s)
		}
	}
	counted := b.elsewhere(f)
	b.unsure = false
	for _, n := range f.naming.Devices {
		s := b.spots[key{n.Resource, n.ID}]
		if s.stage == live {
			continue
		}
		s.why = cmp.Or(s.barred, b.blocked(s), b.given(s, counted[s.device.GPU]))
		for _, other := range on[s.device.GPU] {
			if s.why == "" && collides(s.key, s.device, other.key, other.device) {
				s.why = "the same hardware is still offered as " + other.resource + " " + other.id
			}
		}
		if s.why == "" {
			s.enter(live, b.now, "")
			on[s.device.GPU] = append(on[s.device.GPU], s)
		}
	}
}

// judge says as what a spot is listed.
func (b *book) judge(s *spot, f facts) {
	reason := b.fault(s, f)
	n := s.named
	s.entry = entry{
		id: s.id, device: s.device, healthy: reason == "", reason: reason, numa: -1,
		index: n.Index, replicas: n.Replicas, one: n.One,
		released: s.stage == released, givable: s.stage == released && len(s.claims) > 0 || s.has() && exists(n, f.snapshot),
	}
	if n.Resource != "" {
		s.entry.numa = n.NUMA
	} else if g := f.snapshot.GPU(s.device.GPU); g != nil {
		s.entry.numa, s.entry.index = g.NUMA, g.Index
	}
	if n.Health.State == gpu.Unhealthy {
		s.entry.unusable = cmp.Or(n.Health.Reason, "it is unhealthy")
	}
	if n.Realized != nil {
		s.entry.exists, s.entry.realized = true, *n.Realized
	}
	switch {
	case reason == "":
		s.badSince, s.badVersion, s.told = time.Time{}, 0, time.Time{}
	case s.badSince.IsZero():
		s.badSince = b.now
	}
}

// fault says why a spot may not be given anew; empty when it may.
func (b *book) fault(s *spot, f facts) string {
	switch s.stage {
	case lowering:
		return ""
	case live:
	default:
		switch {
		case s.why != "" && s.wanted:
			return s.why
		case len(s.claims) > 0:
			return "it is no longer offered as " + s.resource + "; " + who(s.claims[0]) + " has it"
		}
		return "it is no longer offered as " + s.resource
	}
	if !s.named.Health.Allocatable() {
		return cmp.Or(s.named.Health.Reason, s.named.Health.State.String())
	}
	if why := b.blocked(s); why != "" {
		return why
	}
	for _, c := range s.claims {
		if c.Unrecorded { // it would be given away
			return who(c) + " has it, and the kubelet has no record of that any more"
		}
	}
	if why := b.unready(s, f); why != "" {
		return why
	}
	if len(s.claims) > 0 {
		return ""
	}
	if why, until := f.trouble(s.device.Base().ID(), b.now); why != "" {
		b.wake(until)
		return why
	}
	return ""
}

// specGrace is how long the spec of an instance that exists may be missing until its device is listed as unhealthy, where
// containers wait for it in PreStart anyway. It is written some milliseconds after the inventory shows the instance.
const specGrace = 5 * time.Second

// unready says why the spec of a device that exists is missing; empty when it is there, and for a moment when it is only new.
func (b *book) unready(s *spot, f facts) string {
	if f.ready == nil {
		return ""
	}
	err := f.ready(s.named)
	if err == nil {
		s.specless = time.Time{}
		return ""
	}
	if s.specless.IsZero() {
		s.specless = b.now
	}
	until := s.specless.Add(specGrace)
	if sh := b.shelves[s.resource]; f.late && s.named.Realized != nil && sh != nil && sh.preStart && b.now.Before(until) {
		b.wake(until)
		return ""
	}
	return err.Error()
}

// vanishAfter is how long an id stays listed as unhealthy before it is removed. The kubelet (1.37.2) looks its devices up
// after an Allocate without asking whether they are still there, and panics when they are not.
const vanishAfter = 30 * time.Second

// forget removes what was unhealthy for long enough and is neither wanted nor claimed.
func (b *book) forget() {
	for k, s := range b.spots {
		if s.wanted || s.stage != released || len(s.claims) > 0 {
			continue
		}
		if gone := s.badSince.Add(vanishAfter); b.now.Before(gone) {
			b.wake(gone)
		} else {
			delete(b.spots, k)
		}
	}
}

// bySpot orders the devices of a resource.
func bySpot(x, y *spot) int {
	return cmp.Or(byDevice(x.entry.index, x.device, y.entry.index, y.device), cmp.Compare(x.id, y.id))
}

// byDevice orders by GPU, place and replica; i and j are the GPUs' indexes.
func byDevice(i int, a gpu.Device, j int, b gpu.Device) int {
	return cmp.Or(
		cmp.Compare(i, j),
		cmp.Compare(a.GPU, b.GPU),
		cmp.Compare(a.Slot.Placement.Start, b.Slot.Placement.Start),
		cmp.Compare(a.Slot.Placement.Size, b.Slot.Placement.Size),
		cmp.Compare(a.ComputeStart, b.ComputeStart),
		cmp.Compare(a.Replica, b.Replica),
	)
}
