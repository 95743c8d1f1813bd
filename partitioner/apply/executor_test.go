package apply

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gpulet/gpulet/gpu"
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
