package apply

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/kubelet"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// cut runs something and, in turn, ends the process before and after each of its operations. Then another process settles it, twice.
func cut(t *testing.T, prepare func(t *testing.T, m *machine), act func(t *testing.T, e *Executor), judge func(t *testing.T, m *machine, e *Executor)) {
	t.Helper()
	for k := 1; ; k++ {
		reached := false
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d-%v", k, late), func(t *testing.T) {
				bubble(t, func(t *testing.T, m *machine) {
					prepare(t, m)
					e := m.start()
					m.dieAt, m.late = k, late
					act(t, e)
					reached = reached || m.dead
					e = m.start()
					if err := e.Recover(t.Context(), uuid0); err != nil {
						t.Fatal(err)
					}
					before := m.ops
					if err := e.Recover(t.Context(), uuid0); err != nil || m.ops != before {
						t.Errorf("settled twice: %v, %d more operations", err, m.ops-before)
					}
					for _, in := range m.layout.Instances {
						if _, ours := e.unit(uuid0).j.owner(in); !ours && in.Health.Reason != "foreign" {
							t.Errorf("%s belongs to nobody: %+v", in.Slot, in.Compute)
						}
					}
					judge(t, m, e)
				})
			})
		}
		if !reached {
			if k < 4 {
				t.Errorf("only %d operations", k)
			}
			return
		}
	}
}

// Cases 1 and 2: whatever a creation was cut at, the instance is ours or is not there, and can be made.
func TestCutCreation(t *testing.T) {
	cut(t,
		func(t *testing.T, m *machine) { m.foreign(place("3g.40gb@4")) },
		func(t *testing.T, e *Executor) { _ = e.Do(t.Context(), create("1g.10gb@0")) },
		func(t *testing.T, m *machine, e *Executor) {
			do(t, e, create("1g.10gb@0"))
			if got := m.exists(); !slices.Equal(got, []string{"1g.10gb@0", "3g.40gb@4"}) {
				t.Errorf("%v exist", got)
			}
		})
}

func TestCutDestruction(t *testing.T) {
	for name, spoil := range map[string]func(m *machine){
		"as it should": func(*machine) {},
		"held":         func(m *machine) { m.held[1] = true },
		"leaking": func(m *machine) {
			m.held[1], m.refuse["create-compute"], m.always = true, errors.New("unknown error"), true
		},
	} {
		t.Run(name, func(t *testing.T) {
			cut(t,
				func(t *testing.T, m *machine) {
					do(t, m.start(), create("1g.10gb@0"), create("1g.10gb@1"))
					m.claim(device(place("1g.10gb@0")).ID())
					spoil(m)
				},
				func(t *testing.T, e *Executor) {
					_ = e.Do(t.Context(), destroy("1g.10gb@1"))
					m := e.cfg.Hardware.(*machine)
					clear(m.held)
					clear(m.refuse)
					m.always = false
				},
				func(t *testing.T, m *machine, e *Executor) {
					do(t, e, destroy("1g.10gb@1"))
					in := find(m.layout, place("1g.10gb@0"))
					if len(m.layout.Instances) != 1 || in == nil || in.Compute[0].UUID != "MIG-0001" {
						t.Errorf("%v exist", m.exists())
					}
				})
		})
	}
}

func TestCutChangeOfMode(t *testing.T) {
	cut(t,
		func(_ *testing.T, m *machine) { m.layout.MIG = gpu.MIGState{Capable: true} },
		func(t *testing.T, e *Executor) {
			_ = e.Do(t.Context(), plan.Step{Op: plan.ModeOn, GPU: uuid0})
			_ = e.Do(t.Context(), create("7g.80gb@0"))
		},
		func(t *testing.T, m *machine, e *Executor) {
			m.quiesced = 0
			do(t, e, plan.Step{Op: plan.ModeOn, GPU: uuid0}, create("7g.80gb@0"), destroy("7g.80gb@0"), plan.Step{Op: plan.ModeOff, GPU: uuid0})
		})
}

// Case 5, cut anywhere: the layout of before the reboot is there in the end, also when another reboot comes between.
func TestCutRestoration(t *testing.T) {
	for _, again := range []bool{false, true} {
		t.Run(strconv.FormatBool(again), func(t *testing.T) {
			cut(t,
				func(t *testing.T, m *machine) {
					do(t, m.start(), create("3g.40gb@4"), create("1g.10gb@0"), create("1g.10gb@2"))
					m.reboot()
				},
				func(t *testing.T, e *Executor) {
					_ = e.Recover(t.Context(), uuid0)
					if again {
						e.cfg.Hardware.(*machine).reboot()
					}
				},
				func(t *testing.T, m *machine, e *Executor) {
					want := []string{"1g.10gb@0", "1g.10gb@2", "3g.40gb@4"}
					if got := m.exists(); !slices.Equal(got, want) || !slices.Equal(m.owned(e), want) {
						t.Errorf("%v exist", got)
					}
				})
		})
	}
}

// Whatever happens in whatever order, nothing in use is destroyed (the machine checks each destruction), an administrator's stays,
// and when the trouble ends every step that nobody stands in the way of can be done.
func TestAnythingConverges(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		m := newMachine(rt, dir)
		e := m.start()
		slots := []string{"1g.10gb@0", "1g.10gb@1", "2g.20gb@0", "2g.20gb@2", "3g.40gb@0", "3g.40gb@4", "7g.80gb@0"}
		slot := func() mig.Slot { return place(rapid.SampledFrom(slots).Draw(rt, "slot")) }
		running := map[gpu.UUID]bool{} // compute instances in use
		foreign := 0
		busy := func() {
			for uuid := range running {
				if !slices.ContainsFunc(m.layout.Instances, func(in gpu.Instance) bool { return len(in.Compute) == 1 && in.Compute[0].UUID == uuid }) {
					rt.Fatalf("%s was in use and is gone", uuid)
				}
			}
			n := 0
			for _, in := range m.layout.Instances {
				if in.Health.Reason == "foreign" {
					n++
				}
			}
			if n != foreign {
				rt.Fatalf("%d of %d instances of an administrator are left", n, foreign)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"create":  func(*rapid.T) { _ = e.Do(t.Context(), plan.Step{Op: plan.Create, GPU: uuid0, Slot: slot()}) },
			"destroy": func(*rapid.T) { _ = e.Do(t.Context(), plan.Step{Op: plan.Destroy, GPU: uuid0, Slot: slot()}) },
			"mode": func(rt *rapid.T) {
				_ = e.Do(t.Context(), plan.Step{Op: rapid.SampledFrom([]plan.Op{plan.ModeOn, plan.ModeOff}).Draw(rt, "mode"), GPU: uuid0})
			},
			"claim": func(*rapid.T) { m.claim(device(slot()).ID()) },
			"release": func(*rapid.T) {
				m.claims.Set(&kubelet.ClaimSet{Complete: true})
			},
			"destroy without knowing the claims": func(*rapid.T) {
				known, _ := m.claims.Get()
				m.claims.Set(&kubelet.ClaimSet{ByID: known.ByID})
				_ = e.Do(t.Context(), plan.Step{Op: plan.Destroy, GPU: uuid0, Slot: slot()})
				m.claims.Set(known)
			},
			"list":   func(*rapid.T) { m.listing.Set(&Listing{Pickable: map[gpu.Device]string{device(slot()): "listed"}}) },
			"unlist": func(*rapid.T) { m.listing.Set(&Listing{}) },
			"run": func(*rapid.T) {
				if in := find(m.layout, slot()); in != nil && len(in.Compute) == 1 {
					m.busy[in.ID], running[in.Compute[0].UUID] = 4711, true
				}
			},
			"stop":    func(*rapid.T) { clear(m.busy); clear(running) },
			"hold":    func(rt *rapid.T) { m.held[uint32(rapid.IntRange(0, 3).Draw(rt, "instance"))] = true },
			"let go":  func(*rapid.T) { clear(m.held) },
			"restart": func(*rapid.T) { e = m.start(); _ = e.Recover(t.Context(), uuid0) },
			"die": func(rt *rapid.T) {
				m.dieAt, m.late = m.ops+rapid.IntRange(1, 6).Draw(rt, "in"), rapid.Bool().Draw(rt, "late")
			},
			"reboot": func(*rapid.T) {
				m.reboot()
				clear(running)
				foreign = 0
				m.listing.Set(&Listing{})
				e = m.start()
				_ = e.Recover(t.Context(), uuid0)
			},
			"administrator": func(*rapid.T) {
				s := slot()
				if m.layout.MIG.Enabled && !slices.ContainsFunc(m.layout.Instances, func(in gpu.Instance) bool { return in.Slot.Placement.Overlaps(s.Placement) }) {
					m.foreign(s)
					foreign++
				}
			},
			"fault": func(rt *rapid.T) {
				call := rapid.SampledFrom([]string{"create-instance", "create-compute", "destroy-compute", "destroy-instance", "set-mode"}).Draw(rt, "call")
				m.refuse[call] = rapid.SampledFrom([]error{gpu.ErrDeadline, gpu.ErrLost, gpu.ErrInUse, gpu.ErrNoRoom, errors.New("unknown error")}).Draw(rt, "answer")
				m.lost[call] = errors.Is(m.refuse[call], gpu.ErrDeadline) && rapid.Bool().Draw(rt, "done")
			},
			"": func(*rapid.T) { busy() },
		})
		// The trouble ends.
		clear(m.refuse)
		clear(m.held)
		clear(m.busy)
		clear(running)
		m.claims.Set(&kubelet.ClaimSet{Complete: true})
		m.listing.Set(&Listing{})
		e = m.start()
		if err := e.Recover(t.Context(), uuid0); causeIn(err) == CauseForeign || causeIn(err) == CauseNoRoom {
			err = e.Recover(t.Context(), uuid0) // what an administrator's instance is in the way of is given up
			if err != nil {
				rt.Fatal(err)
			}
		} else if err != nil {
			rt.Fatal(err)
		}
		if len(m.owned(e))+foreign != len(m.layout.Instances) {
			rt.Fatalf("%v exist, of which it owns %v and an administrator %d", m.exists(), m.owned(e), foreign)
		}
		for _, in := range slices.Clone(m.layout.Instances) {
			err := e.Do(t.Context(), plan.Step{Op: plan.Destroy, GPU: uuid0, Slot: in.Slot})
			if (in.Health.Reason == "foreign") != (causeIn(err) == CauseForeign) {
				rt.Fatal(err)
			}
		}
		busy()
	})
}
