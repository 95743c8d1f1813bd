package apply

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

// Each of those who may use an instance keeps it, and the refusal says who.
func TestWhatKeepsAnInstance(t *testing.T) {
	const slot = "3g.40gb@4"
	d := device(place(slot))
	bound := func(resource string) *kubelet.Pods {
		return &kubelet.Pods{Synced: true, ByUID: map[kubelet.UID]kubelet.Pod{"p": {
			UID: "p", Namespace: "team", Name: "new", Containers: []kubelet.Container{{Requests: map[string]int64{resource: 1}}},
		}}}
	}
	for name, c := range map[string]struct {
		use   func(m *machine)
		cause Cause // empty: it goes
		word  string
	}{
		"nobody":                         {func(*machine) {}, "", ""},
		"a claim":                        {func(m *machine) { m.claim(d.ID()) }, CauseClaimed, "team/train-0"},
		"a claim of a replica":           {func(m *machine) { m.claim(d.ID() + "::1") }, CauseClaimed, ""},
		"a claim by the short id":        {func(m *machine) { m.claim(gpu.ShortUUID(uuid0) + ":3g.40gb:4") }, CauseClaimed, ""},
		"a claim of a part":              {func(m *machine) { m.claim(string(uuid0) + ":1c.3g.40gb:4.0") }, CauseClaimed, ""},
		"a claim of the GPU":             {func(m *machine) { m.claim(string(uuid0)) }, CauseClaimed, ""},
		"a claim of an unknown profile":  {func(m *machine) { m.claim(string(uuid0) + ":3g.39gb:4") }, CauseClaimed, ""},
		"a claim in other words":         {func(m *machine) { m.claim(string(uuid0) + "/gi1") }, CauseClaimed, ""},
		"a claim by the MIG UUID":        {func(m *machine) { m.claim("MIG-0001") }, CauseClaimed, ""},
		"a claim on another GPU":         {func(m *machine) { m.claim("GPU-1:3g.40gb:4") }, "", ""},
		"a claim on another slot":        {func(m *machine) { m.claim(string(uuid0) + ":3g.40gb:0") }, "", ""},
		"a claim that waits for its end": {func(m *machine) { m.claim(string(uuid0) + ":2g.20gb:4") }, "", ""},
		"claims that are not read":       {func(m *machine) { m.claims.Set(&kubelet.ClaimSet{}) }, CauseUnknown, ""},
		"an offer":                       {func(m *machine) { m.listing.Set(&Listing{Pickable: map[gpu.Device]string{d: "the kubelet counts it"}}) }, CauseOffered, "the kubelet counts it"},
		"an old list":                    {func(m *machine) { m.offers = 7 }, CauseUnknown, ""},
		"no list":                        {func(m *machine) { m.listing.Set(nil) }, CauseUnknown, ""},
		"a bound pod":                    {func(m *machine) { m.pods.Set(bound("nvidia.com/mig-3g.40gb")) }, CauseBound, "team/new"},
		"a bound pod of any resource":    {func(m *machine) { m.pods.Set(bound("nvidia.com/gpu")) }, CauseBound, ""},
		"a bound pod of another":         {func(m *machine) { m.pods.Set(bound("nvidia.com/mig-1g.10gb.shared")) }, "", ""},
		"unknown pods":                   {func(m *machine) { m.pods.Set(&kubelet.Pods{}) }, CauseUnknown, ""},
		"a process":                      {func(m *machine) { m.busy[0] = 4711 }, CauseInUse, "python (pid 4711) of pod"},
		"unknown processes":              {func(m *machine) { m.refuse["holders"] = gpu.ErrDeadline }, CauseUnknown, ""},
		"an open gate":                   {func(m *machine) { m.refuse["withdraw"] = errors.New("read-only file system") }, CauseFailed, ""},
		"a full disk":                    {func(m *machine) { m.journalOK = false }, CauseJournal, ""},
		"a lost GPU":                     {func(m *machine) { m.refuse["layout"] = gpu.ErrLost }, CauseLost, ""},
		"a silent driver":                {func(m *machine) { m.refuse["layout"] = gpu.ErrDeadline }, CauseNoAnswer, ""},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, m *machine) {
				e := m.start()
				do(t, e, create(slot))
				c.use(m)
				before := m.ops
				err := e.Do(t.Context(), destroy(slot))
				if causeIn(err) != c.cause || err != nil && !strings.Contains(err.Error(), c.word) {
					t.Fatalf("%q: %v", causeIn(err), err)
				}
				if (c.cause == "") == m.usable(place(slot)) {
					t.Errorf("%v exist", m.exists())
				}
				if c.cause != "" && m.withdrawn[d] {
					t.Error("its gate is closed")
				}
				if c.cause != "" && c.cause != CauseJournal && m.ops != before {
					t.Errorf("%d operations for nothing", m.ops-before)
				}
				s, _ := e.State().Get()
				if r := s.GPUs[uuid0].Refused; (r != nil) != (c.cause != "") {
					t.Errorf("the state says %v", r)
				}
			})
		})
	}
}

// A pod that was bound before, and is let in while we wait, has a claim then.
func TestPodOnItsWayIn(t *testing.T) {
	bubble(t, func(t *testing.T, m *machine) {
		e := m.start()
		do(t, e, create("1g.10gb@0"), create("1g.10gb@1"))
		pod := kubelet.Pod{UID: "p", Containers: []kubelet.Container{{Requests: map[string]int64{"nvidia.com/mig-1g.10gb": 1}}}}
		in := func() *kubelet.Pods { return &kubelet.Pods{Synced: true, ByUID: map[kubelet.UID]kubelet.Pod{"p": pod}} }
		m.pods.Set(in())
		go func() {
			time.Sleep(100 * time.Millisecond)
			m.claim(device(place("1g.10gb@0")).ID())
			pod.Admitted = true
			m.pods.Set(in())
		}()
		if err := e.Do(t.Context(), destroy("1g.10gb@0")); causeIn(err) != CauseClaimed {
			t.Error(err)
		}
	})
}

// Pods that come later cannot get what the kubelet has forgotten: they are not waited for.
func TestPodsThatComeLater(t *testing.T) {
	bubble(t, func(t *testing.T, m *machine) {
		e := m.start()
		do(t, e, create("1g.10gb@0"))
		asks := []kubelet.Container{{Requests: map[string]int64{"nvidia.com/mig-1g.10gb": 1}}}
		m.pods.Set(&kubelet.Pods{Synced: true, ByUID: map[kubelet.UID]kubelet.Pod{"first": {Containers: asks}}})
		go func() {
			for n := range 40 {
				time.Sleep(100 * time.Millisecond)
				m.pods.Set(&kubelet.Pods{Synced: true, ByUID: map[kubelet.UID]kubelet.Pod{
					"first": {Containers: asks, Admitted: n > 3}, kubelet.UID(strconv.Itoa(n)): {Containers: asks},
				}})
			}
		}()
		began := time.Now()
		do(t, e, destroy("1g.10gb@0"))
		if took := time.Since(began); took != 500*time.Millisecond {
			t.Errorf("it waited for %s", took)
		}
		time.Sleep(5 * time.Second)
	})
}

// A claim that comes between the two looks keeps the instance, and its gate opens again.
func TestClaimAtTheLastMoment(t *testing.T) {
	bubble(t, func(t *testing.T, m *machine) {
		e := m.start()
		do(t, e, create("1g.10gb@0"))
		e.cfg.Withdrawer = latecomer{m}
		if err := e.Do(t.Context(), destroy("1g.10gb@0")); causeIn(err) != CauseClaimed || !m.usable(place("1g.10gb@0")) {
			t.Errorf("%v; %v exist", err, m.exists())
		}
		if len(m.withdrawn) > 0 {
			t.Errorf("%v is withdrawn", m.withdrawn)
		}
	})
}

type latecomer struct{ *machine }

func (l latecomer) Withdraw(d gpu.Device) error {
	l.claim(d.ID())
	return l.machine.Withdraw(d)
}
