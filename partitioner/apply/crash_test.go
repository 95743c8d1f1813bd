package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/gpufake"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/kubelet"
	"github.com/gpulet/gpulet/partitioner/plan"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errDead = errors.New("the process is dead")

// board is one GPU in MIG mode, and the moment at which the process that changes it dies.
type board struct {
	layout  gpu.Layout
	made    int
	holders []gpu.Holder
	left    int // operations until the death; negative: none
	dead    bool
	ended   []gpu.UUID // compute instances that were destroyed
}

// op counts an operation; after the last one the process does nothing any more.
func (b *board) op() error {
	if b.left == 0 {
		b.dead = true
	}
	b.left--
	if b.dead {
		return errDead
	}
	return nil
}

func (b *board) Layout(context.Context, gpu.UUID) (gpu.Layout, error) {
	if b.dead {
		return gpu.Layout{}, errDead
	}
	l := b.layout
	l.Instances = slices.Clone(l.Instances)
	return l, nil
}

func (b *board) CreateInstance(_ context.Context, _ gpu.UUID, slot mig.Slot) (uint32, error) {
	if slot == (mig.Slot{}) { // no place: the call gets to its turn and no farther
		return 0, gpu.ErrNotSupported
	}
	if err := b.op(); err != nil {
		return 0, err
	}
	for _, in := range b.layout.Instances {
		if in.Slot.Placement.Overlaps(slot.Placement) {
			return 0, gpu.ErrNoRoom
		}
	}
	b.made++
	id := uint32(b.made)
	b.layout.Instances = append(b.layout.Instances, gpu.Instance{ID: id, Slot: slot})
	return id, nil
}

func (b *board) at(id uint32) *gpu.Instance {
	i := slices.IndexFunc(b.layout.Instances, func(in gpu.Instance) bool { return in.ID == id })
	if i < 0 {
		return nil
	}
	return &b.layout.Instances[i]
}

func (b *board) CreateCompute(_ context.Context, _ gpu.UUID, id uint32) (gpu.ComputeInstance, error) {
	if err := b.op(); err != nil {
		return gpu.ComputeInstance{}, err
	}
	in := b.at(id)
	if in == nil {
		return gpu.ComputeInstance{}, gpu.ErrNotFound
	}
	b.made++
	ci := gpu.ComputeInstance{UUID: gpu.UUID(fmt.Sprintf("MIG-%d", b.made)), Profile: in.Slot.Profile}
	in.Compute = append(slices.Clone(in.Compute), ci)
	return ci, nil
}

func (b *board) DestroyCompute(_ context.Context, _ gpu.UUID, id, _ uint32) error {
	if err := b.op(); err != nil {
		return err
	}
	in := b.at(id)
	switch {
	case in == nil || len(in.Compute) == 0:
		return gpu.ErrNotFound
	case slices.ContainsFunc(b.holders, func(h gpu.Holder) bool { return h.GPUInstance == id }):
		return gpu.ErrInUse
	}
	b.ended = append(b.ended, in.Compute[0].UUID)
	in.Compute = nil
	return nil
}

func (b *board) DestroyInstance(_ context.Context, _ gpu.UUID, id uint32) error {
	if err := b.op(); err != nil {
		return err
	}
	in := b.at(id)
	switch {
	case in == nil:
		return gpu.ErrNotFound
	case len(in.Compute) > 0:
		return gpu.ErrInUse
	}
	b.layout.Instances = slices.DeleteFunc(b.layout.Instances, func(x gpu.Instance) bool { return x.ID == id })
	return nil
}

func (b *board) SetMode(_ context.Context, _ gpu.UUID, on bool) (gpu.Activation, error) {
	if err := b.op(); err != nil {
		return 0, err
	}
	b.layout.MIG.Enabled, b.layout.MIG.Pending = on, on
	return gpu.Activated, nil
}

func (b *board) Holders(context.Context, gpu.UUID) ([]gpu.Holder, error) { return b.holders, nil }

// unguarded is a gate that is always open.
type unguarded struct{}

func (unguarded) Withdraw(gpu.Device) error { return nil }
func (unguarded) Restore(gpu.Device)        {}

// process is an Executor over a board, with the death of the process extended to the journal's file.
func process(b *board, dir string, claims *kubelet.ClaimSet) *Executor {
	g := gpu.GPU{UUID: "GPU-0", MIG: gpu.MIGState{Capable: true, Enabled: true, Pending: true}, Geometry: gpufake.A100Geometry()}
	x := New(Config{
		Hardware: b, Snapshots: gpu.NewFeed(&gpu.Snapshot{Version: 1, GPUs: []gpu.GPU{g}}), Claims: gpu.NewFeed(claims),
		Pods: gpu.NewFeed(&kubelet.Pods{Synced: true}), Listing: gpu.NewFeed(&Listing{}), Withdrawer: unguarded{}, StateDir: dir, BootID: "boot",
		Processes: kubelet.NewProcesses("/nowhere"),
	})
	save := x.save
	x.save = func(dir string, uuid gpu.UUID, j journal) error {
		if err := b.op(); err != nil {
			return err
		}
		return save(dir, uuid, j)
	}
	return x
}

func slotOf(t *testing.T, name string, start int) mig.Slot {
	t.Helper()
	for _, p := range gpufake.A100Geometry().Profiles {
		for _, at := range p.Placements {
			if p.Profile.String() == name && at.Start == start {
				return mig.Slot{Profile: p.Profile, Placement: at}
			}
		}
	}
	t.Fatalf("no slot %s@%d", name, start)
	return mig.Slot{}
}

// The process dies at every operation in turn, of the driver and of the journal. The next one converges: the layout is as wanted,
// nothing is left without compute instance or owner, and what a pod has is what it was.
func TestDeathAtEveryStep(t *testing.T) {
	for at := 0; ; at++ {
		finished := false
		synctest.Test(t, func(t *testing.T) {
			busy, goes, comes := slotOf(t, "1g.10gb", 0), slotOf(t, "2g.20gb", 4), slotOf(t, "3g.40gb", 4)
			b := &board{left: -1}
			b.layout.MIG = gpu.MIGState{Capable: true, Enabled: true, Pending: true}
			dir := t.TempDir()
			claims := &kubelet.ClaimSet{Complete: true, ByID: map[string][]kubelet.Claim{}}
			steps := []plan.Step{{Op: plan.Destroy, GPU: "GPU-0", Slot: goes}, {Op: plan.Create, GPU: "GPU-0", Slot: comes}}
			first := process(b, dir, claims)
			for _, s := range []mig.Slot{busy, goes} {
				if err := first.Do(t.Context(), plan.Step{Op: plan.Create, GPU: "GPU-0", Slot: s}); err != nil {
					t.Fatal(err)
				}
			}
			kept := b.layout.Instances[0].Compute[0].UUID
			claims.ByID[gpu.Device{Kind: gpu.Slice, GPU: "GPU-0", Slot: busy}.ID()] = []kubelet.Claim{{Pod: "u", Namespace: "team", Name: "a"}}
			b.left = at
			second := process(b, dir, claims)
			for _, s := range steps {
				_ = second.Do(t.Context(), s)
			}
			finished = !b.dead
			b.left, b.dead = -1, false
			third := process(b, dir, claims)
			for range 2 { // once more changes nothing
				if err := third.Recover(t.Context(), "GPU-0"); err != nil {
					t.Errorf("death at operation %d: %v", at, err)
				}
			}
			for _, s := range steps {
				if err := third.Do(t.Context(), s); err != nil {
					t.Errorf("death at operation %d: %v", at, err)
				}
			}
			state, _ := third.State().Get()
			var slots []string
			for _, in := range b.layout.Instances {
				slots = append(slots, in.Slot.String())
				if len(in.Compute) != 1 || state.GPUs["GPU-0"].Owned[in.Compute[0].UUID] != in.Slot {
					t.Errorf("death at operation %d: %+v is nobody's", at, in)
				}
			}
			slices.Sort(slots)
			if want := []string{"1g.10gb@0", "3g.40gb@4"}; !slices.Equal(slots, want) || b.layout.Instances[0].Compute[0].UUID != kept {
				t.Errorf("death at operation %d: %v", at, slots)
			}
		})
		if finished || t.Failed() {
			if at < 8 {
				t.Errorf("only %d operations were cut", at)
			}
			return
		}
	}
}

// Whatever speaks for an instance's being used keeps it, with the reason.
func TestInUseStays(t *testing.T) {
	for name, c := range map[string]struct {
		change func(b *board, claims *kubelet.ClaimSet, l *Listing, slot mig.Slot)
		cause  Cause
	}{
		"a claim": {func(_ *board, c *kubelet.ClaimSet, _ *Listing, s mig.Slot) {
			c.ByID[deviceAt("GPU-0", s).ID()] = []kubelet.Claim{{Pod: "u"}}
		}, CauseClaimed},
		"a claim of the GPU": {func(_ *board, c *kubelet.ClaimSet, _ *Listing, _ mig.Slot) {
			c.ByID["GPU-0"] = []kubelet.Claim{{Pod: "u"}}
		}, CauseClaimed},
		"claims not known yet": {func(_ *board, c *kubelet.ClaimSet, _ *Listing, _ mig.Slot) { c.Complete = false }, CauseUnknown},
		"an offer": {func(_ *board, _ *kubelet.ClaimSet, l *Listing, s mig.Slot) {
			l.Pickable[deviceAt("GPU-0", s)] = "it is offered"
		}, CauseOffered},
		"a process": {func(b *board, _ *kubelet.ClaimSet, _ *Listing, _ mig.Slot) {
			b.holders = []gpu.Holder{{PID: 7, GPUInstance: b.layout.Instances[0].ID}}
		}, CauseInUse},
		"another maker": {func(b *board, _ *kubelet.ClaimSet, _ *Listing, _ mig.Slot) {
			b.layout.Instances[0].Compute[0].UUID = "MIG-other"
		}, CauseForeign},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &board{left: -1}
				b.layout.MIG = gpu.MIGState{Capable: true, Enabled: true, Pending: true}
				claims, listing := &kubelet.ClaimSet{Complete: true, ByID: map[string][]kubelet.Claim{}}, &Listing{Pickable: map[gpu.Device]string{}}
				x := process(b, t.TempDir(), claims)
				x.cfg.Listing = gpu.NewFeed(listing)
				slot := slotOf(t, "1g.10gb", 0)
				if err := x.Do(t.Context(), plan.Step{Op: plan.Create, GPU: "GPU-0", Slot: slot}); err != nil {
					t.Fatal(err)
				}
				c.change(b, claims, listing, slot)
				err := x.Do(t.Context(), plan.Step{Op: plan.Destroy, GPU: "GPU-0", Slot: slot})
				refusal := (*RefusalError)(nil)
				if !errors.As(err, &refusal) || refusal.Cause != c.cause || refusal.Reason == "" {
					t.Errorf("%v, want %s", err, c.cause)
				}
				if len(b.ended) > 0 || len(b.layout.Instances) != 1 {
					t.Errorf("it was destroyed: %+v", b)
				}
			})
		})
	}
}
