package apply

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/kubelet"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// bubble runs a test in imagined time.
func bubble(t *testing.T, f func(t *testing.T, m *machine)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newMachine(t, t.TempDir())) })
}

func do(t *testing.T, e *Executor, steps ...plan.Step) {
	t.Helper()
	for _, s := range steps {
		if err := e.Do(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", doing(s), err)
		}
	}
}

func TestCreateAndDestroy(t *testing.T) {
	bubble(t, func(t *testing.T, m *machine) {
		e := m.start()
		do(t, e, create("3g.40gb@4"), create("1g.10gb@0"), create("1g.10gb@0"))
		if got := m.owned(e); !slices.Equal(got, []string{"1g.10gb@0", "3g.40gb@4"}) {
			t.Fatalf("it owns %v", got)
		}
		if s, _ := e.State().Get(); s.GPUs[uuid0].Changed.IsZero() || s.GPUs[uuid0].Doing != "" {
			t.Errorf("%+v", s.GPUs[uuid0])
		}
		do(t, e, destroy("3g.40gb@4"), destroy("3g.40gb@4"))
		if got := m.exists(); !slices.Equal(got, []string{"1g.10gb@0"}) || !slices.Equal(m.owned(e), got) {
			t.Errorf("%v are left", got)
		}
		// Another process knows what is ours.
		e = m.start()
		do(t, e, destroy("1g.10gb@0"))
		if len(m.exists()) > 0 {
			t.Errorf("%v are left", m.exists())
		}
	})
}

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

// Case 4: what an administrator makes is never ours, and what he destroys is forgotten.
func TestForeign(t *testing.T) {
	bubble(t, func(t *testing.T, m *machine) {
		m.foreign(place("3g.40gb@4"))
		e := m.start()
		for _, s := range []plan.Step{create("3g.40gb@4"), destroy("3g.40gb@4"), create("1g.10gb@5"), {Op: plan.ModeOff, GPU: uuid0}} {
			if err := e.Do(t.Context(), s); causeIn(err) != CauseForeign {
				t.Errorf("%s: %v", doing(s), err)
			}
		}
		do(t, e, create("1g.10gb@0"))
		m.layout.Instances = nil
		m.foreign(place("1g.10gb@0"))
		if err := e.Do(t.Context(), destroy("1g.10gb@0")); causeIn(err) != CauseForeign {
			t.Error(err)
		}
		if got := m.owned(e); len(got) > 0 {
			t.Errorf("it owns %v", got)
		}
	})
}

func TestRefusedCreations(t *testing.T) {
	for name, c := range map[string]struct {
		call  string
		err   error
		cause Cause
	}{
		"no permission": {"create-instance", gpu.ErrPermission, CausePermission},
		"no engines":    {"create-instance", gpu.ErrNoRoom, CauseNoRoom},
		"no compute":    {"create-compute", errors.New("unknown error"), CauseFailed},
		"a full disk":   {"journal", errors.New("no space left on device"), CauseJournal},
		"no MIG":        {"create-instance", gpu.ErrNotSupported, CauseUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, m *machine) {
				e := m.start()
				m.refuse[c.call] = c.err
				if err := e.Do(t.Context(), create("1g.10gb@0")); causeIn(err) != c.cause || !errors.Is(err, c.err) {
					t.Errorf("%v", err)
				}
				if len(m.exists()) > 0 || e.unit(uuid0).j.Intent != nil {
					t.Errorf("%v exist", m.exists())
				}
				do(t, e, create("1g.10gb@0"))
			})
		})
	}
}

// A disk that fills up between two steps of a creation.
func TestJournalFailsHalfway(t *testing.T) {
	bubble(t, func(t *testing.T, m *machine) {
		e := m.start()
		save := e.save
		n := 0
		e.save = func(dir string, uuid gpu.UUID, j journal) error {
			if n++; n == 2 {
				return errors.New("no space left on device")
			}
			return save(dir, uuid, j)
		}
		if err := e.Do(t.Context(), create("1g.10gb@0")); causeIn(err) != CauseJournal || len(m.exists()) > 0 {
			t.Errorf("%v; %v exist", err, m.exists())
		}
		do(t, e, create("1g.10gb@0"))
	})
}

// A newer driver may name a profile otherwise (case 15): what it is now is made at the same place.
func TestRebootWithANewName(t *testing.T) {
	bubble(t, func(t *testing.T, m *machine) {
		e := m.start()
		do(t, e, create("3g.40gb@4"))
		old := place("3g.40gb@4")
		old.Profile.MemoryGB = 39
		j := e.unit(uuid0).j.clone()
		j.Owned[0].Slot = old
		if err := saveJournal(m.dir, uuid0, j); err != nil {
			t.Fatal(err)
		}
		m.reboot()
		e = m.start()
		if err := e.Recover(t.Context(), uuid0); err != nil || !slices.Equal(m.owned(e), []string{"3g.40gb@4"}) {
			t.Errorf("%v; %v exist", err, m.exists())
		}
	})
}

// A call that does not come back leaves its step open; nothing new is begun before it has returned, and then it is found out.
func TestNoAnswer(t *testing.T) {
	for _, call := range []string{"create-instance", "create-compute", "destroy-compute", "destroy-instance"} {
		for _, done := range []bool{false, true} {
			t.Run(fmt.Sprint(call, done), func(t *testing.T) {
				bubble(t, func(t *testing.T, m *machine) {
					e := m.start()
					s := create("1g.10gb@0")
					if strings.HasPrefix(call, "destroy") {
						do(t, e, s)
						s = destroy("1g.10gb@0")
					}
					m.refuse[call], m.lost[call] = gpu.ErrDeadline, done
					if err := e.Do(t.Context(), s); causeIn(err) != CauseNoAnswer {
						t.Fatal(err)
					}
					m.refuse["turn"] = gpu.ErrDeadline
					before := m.ops
					if err := e.Do(t.Context(), create("3g.40gb@4")); causeIn(err) != CauseNoAnswer || m.ops != before {
						t.Fatal(err)
					}
					delete(m.refuse, "turn")
					do(t, e, s)
					if m.usable(s.Slot) != (s.Op == plan.Create) || len(m.exists()) != len(m.owned(e)) {
						t.Errorf("%v exist, it owns %v", m.exists(), m.owned(e))
					}
				})
			})
		}
	}
}

// Case 3: the driver keeps a GPU instance whose compute instance is gone.
func TestHeldInstance(t *testing.T) {
	bubble(t, func(t *testing.T, m *machine) {
		e := m.start()
		do(t, e, create("1g.10gb@0"))
		m.held[0] = true
		err := e.Do(t.Context(), destroy("1g.10gb@0"))
		if causeIn(err) != CauseInUse || !m.usable(place("1g.10gb@0")) || len(m.owned(e)) != 1 || len(m.withdrawn) > 0 {
			t.Fatalf("%v; %v exist", err, m.exists())
		}
		m.refuse["create-compute"] = errors.New("unknown error")
		if err := e.Do(t.Context(), destroy("1g.10gb@0")); causeIn(err) != CauseInUse {
			t.Fatal(err)
		}
		s, _ := e.State().Get()
		if holder := s.GPUs[uuid0].Leaking[place("1g.10gb@0")]; !strings.Contains(holder, "handle") || len(s.GPUs[uuid0].Owned) > 0 {
			t.Fatalf("%+v", s.GPUs[uuid0])
		}
		// It stays known over a restart, and goes when it is let go of.
		e = m.start()
		if err := e.Do(t.Context(), destroy("1g.10gb@0")); causeIn(err) != CauseInUse {
			t.Fatal(err)
		}
		delete(m.held, 0)
		do(t, e, create("3g.40gb@4"))
		if got := m.exists(); !slices.Equal(got, []string{"3g.40gb@4"}) {
			t.Errorf("%v exist", got)
		}
	})
}

// A slot that leaks can be used again: its GPU instance is there.
func TestLeakIsUsedAgain(t *testing.T) {
	bubble(t, func(t *testing.T, m *machine) {
		e := m.start()
		do(t, e, create("1g.10gb@0"))
		m.held[0], m.refuse["create-compute"] = true, errors.New("unknown error")
		if err := e.Do(t.Context(), destroy("1g.10gb@0")); causeIn(err) != CauseInUse {
			t.Fatal(err)
		}
		do(t, e, create("1g.10gb@0"))
		s, _ := e.State().Get()
		if !m.usable(place("1g.10gb@0")) || len(s.GPUs[uuid0].Leaking) > 0 || len(m.owned(e)) != 1 {
			t.Errorf("%+v", s.GPUs[uuid0])
		}
	})
}

// The driver is the last who may say that an instance is in use.
func TestDriverKnowsBetter(t *testing.T) {
	bubble(t, func(t *testing.T, m *machine) {
		e := m.start()
		do(t, e, create("1g.10gb@0"))
		m.refuse["destroy-compute"] = gpu.ErrInUse
		err := e.Do(t.Context(), destroy("1g.10gb@0"))
		if causeIn(err) != CauseInUse || len(m.withdrawn) > 0 || len(m.owned(e)) != 1 {
			t.Error(err)
		}
	})
}

func TestMode(t *testing.T) {
	on, off := plan.Step{Op: plan.ModeOn, GPU: uuid0}, plan.Step{Op: plan.ModeOff, GPU: uuid0}
	whole := gpu.Device{Kind: gpu.Whole, GPU: uuid0}
	bubble(t, func(t *testing.T, m *machine) {
		m.layout.MIG = gpu.MIGState{Capable: true}
		e := m.start()
		m.claim(string(uuid0) + ":1g.10gb:0") // it waits for the mode
		do(t, e, on, on)
		if !m.layout.MIG.Enabled || !m.withdrawn[whole] || m.quiesced != 0 {
			t.Errorf("%+v", m.layout.MIG)
		}
		if s, _ := e.State().Get(); s.GPUs[uuid0].ModeChanged.IsZero() {
			t.Error("no time of the change")
		}
		if err := e.Do(t.Context(), off); causeIn(err) != CauseClaimed {
			t.Error(err)
		}
		m.claims.Set(&kubelet.ClaimSet{Complete: true})
		do(t, e, create("1g.10gb@0"))
		if err := e.Do(t.Context(), off); causeIn(err) != CauseInUse {
			t.Error(err)
		}
		do(t, e, destroy("1g.10gb@0"), off)
		if m.layout.MIG.Enabled || m.withdrawn[whole] {
			t.Errorf("%+v, %v", m.layout.MIG, m.withdrawn)
		}
	})
	for name, c := range map[string]struct { // case 16
		use   func(m *machine)
		reset bool
		cause Cause
		word  string
	}{
		"a claim":          {use: func(m *machine) { m.claim(string(uuid0)) }, cause: CauseClaimed, word: "team/train-0"},
		"an offer":         {use: func(m *machine) { m.listing.Set(&Listing{Pickable: map[gpu.Device]string{whole: "listed"}}) }, cause: CauseOffered},
		"a process":        {use: func(m *machine) { m.busy[gpu.NoInstance] = 4711 }, cause: CauseInUse, word: "python (pid 4711)"},
		"our own worker":   {use: func(m *machine) { m.refuse["quiesce"] = errors.New("busy") }, cause: CauseUnknown},
		"blocked":          {use: func(m *machine) { m.act, m.pending = gpu.BlockedByUse, true }, cause: CauseInUse},
		"a reset":          {use: func(m *machine) { m.act, m.pending = gpu.NeedsReset, true }, cause: CauseNeedsReset},
		"a reset that may": {use: func(m *machine) { m.act, m.pending = gpu.NeedsReset, true }, reset: true, cause: CauseNeedsReset, word: "pending"},
		"permission":       {use: func(m *machine) { m.refuse["set-mode"] = gpu.ErrPermission }, cause: CausePermission},
		"no MIG":           {use: func(m *machine) { m.layout.MIG.Capable = false }, cause: CauseUnsupported},
		"a full disk":      {use: func(m *machine) { m.journalOK = false }, cause: CauseJournal},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, m *machine) {
				m.layout.MIG = gpu.MIGState{Capable: true}
				c.use(m)
				e := m.start()
				s := on
				s.Reset = c.reset
				err := e.Do(t.Context(), s)
				if causeIn(err) != c.cause || !strings.Contains(err.Error(), c.word) {
					t.Fatalf("%q %v", causeIn(err), err)
				}
				if m.layout.MIG.Enabled || m.layout.MIG.Pending != c.reset || m.quiesced != 0 || m.withdrawn[whole] {
					t.Errorf("%+v %d %v", m.layout.MIG, m.quiesced, m.withdrawn)
				}
				if m.ops > 4 {
					t.Errorf("%d operations: it goes on trying", m.ops)
				}
			})
		})
	}
}

// Case 5: after a reboot the layout is there again, at the same places, before the GPU counts as recovered.
func TestReboot(t *testing.T) {
	bubble(t, func(t *testing.T, m *machine) {
		e := m.start()
		do(t, e, create("3g.40gb@4"), create("1g.10gb@0"), create("1g.10gb@2"))
		m.reboot()
		m.listing.Set(nil) // nothing was listed yet, and claims come a little later
		m.claims.Set(&kubelet.ClaimSet{})
		go func() {
			time.Sleep(3 * time.Second)
			m.claims.Set(&kubelet.ClaimSet{Complete: true})
		}()
		e = m.start()
		if err := e.Recover(t.Context(), uuid0); err != nil {
			t.Fatal(err)
		}
		want := []string{"1g.10gb@0", "1g.10gb@2", "3g.40gb@4"}
		if got := m.owned(e); !slices.Equal(got, want) || !slices.Equal(m.exists(), want) {
			t.Errorf("%v exist, it owns %v", m.exists(), got)
		}
		before := m.ops
		if err := e.Recover(t.Context(), uuid0); err != nil || m.ops != before {
			t.Errorf("%v, %d more operations", err, m.ops-before)
		}
	})
}

// What cannot be restored is told, the rest is there, and the node goes on.
func TestRebootWithAnObstacle(t *testing.T) {
	bubble(t, func(t *testing.T, m *machine) {
		e := m.start()
		do(t, e, create("1g.10gb@0"), create("1g.10gb@2"))
		m.reboot()
		m.layout.MIG = gpu.MIGState{Capable: true, Enabled: true, Pending: true}
		m.foreign(place("2g.20gb@0"))
		e = m.start()
		err := e.Recover(t.Context(), uuid0)
		s, _ := e.State().Get()
		if g := s.GPUs[uuid0]; causeIn(err) != CauseForeign || !g.Recovered || g.Refused == nil || !slices.Equal(m.owned(e), []string{"1g.10gb@2"}) {
			t.Errorf("%v, %+v", err, g)
		}
		if err := e.Recover(t.Context(), uuid0); err != nil {
			t.Errorf("it goes on trying: %v", err)
		}
	})
}

func TestBrokenJournal(t *testing.T) {
	bubble(t, func(t *testing.T, m *machine) {
		e := m.start()
		do(t, e, create("1g.10gb@0"))
		file := filepath.Join(m.dir, journalDir, string(uuid0)+".json")
		if err := os.WriteFile(file, []byte(`{"version":1,"owned":[{"slo`), 0o644); err != nil {
			t.Fatal(err)
		}
		e = m.start()
		if err := e.Do(t.Context(), destroy("1g.10gb@0")); causeIn(err) != CauseForeign {
			t.Error(err)
		}
		if _, err := os.Stat(file + ".broken"); err != nil {
			t.Error(err)
		}
	})
}

func FuzzParseJournal(f *testing.F) {
	f.Add([]byte(`{"version":1,"bootID":"b","owned":[{"slot":{"Profile":{"Compute":1,"Slices":1,"MemoryGB":10},"Placement":{"Start":0,"Size":1}},"uuid":"MIG-1"}]}`))
	f.Add([]byte(`{"version":1,"intent":{"op":"destroy","slot":{"Profile":{"Slices":1},"Placement":{"Size":1}},"instance":3}}`))
	f.Add([]byte(`{"version":1,"intent":{"op":"mode","on":true},"restore":{"mig":true,"slots":null}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		j, err := parseJournal(data)
		if err != nil {
			return
		}
		if in := j.Intent; in != nil && in.Op == intendDestroy && in.Instance == nil {
			t.Errorf("%+v", in)
		}
		for _, o := range j.Owned {
			if o.UUID == "" || o.Slot == (mig.Slot{}) {
				t.Errorf("%+v", o)
			}
		}
	})
}
