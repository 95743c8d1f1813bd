package apply

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/kubelet"
	"github.com/gpulet/gpulet/partitioner/plan"
)

func (m *machine) Withdraw(d gpu.Device) error {
	if err := m.refuse["withdraw"]; err != nil {
		return err
	}
	m.withdrawn[d] = true
	return nil
}
func (m *machine) Restore(d gpu.Device) { delete(m.withdrawn, d) }

func (m *machine) Quiesce(context.Context, gpu.UUID) (func(), error) {
	if err := m.refuse["quiesce"]; err != nil {
		return nil, err
	}
	m.quiesced++
	return func() { m.quiesced-- }, nil
}

func (m *machine) Container(pid int) (kubelet.UID, string, bool) {
	return "uid-train", "c0ffee", pid == 4711
}
func (m *machine) Name(int) string { return "python" }

// foreign makes an instance as an administrator does.
func (m *machine) foreign(slot mig.Slot) {
	id := uint32(100 + len(m.layout.Instances))
	m.made++
	m.layout.Instances = append(m.layout.Instances, gpu.Instance{
		ID: id, Slot: slot, Health: gpu.Health{Reason: "foreign"},
		Compute: []gpu.ComputeInstance{{UUID: gpu.UUID(fmt.Sprintf("MIG-%04d", m.made)), Profile: slot.Profile}},
	})
}

// claim gives a device to a pod.
func (m *machine) claim(id string) {
	old, _ := m.claims.Get()
	next := &kubelet.ClaimSet{Complete: old.Complete, ByID: map[string][]kubelet.Claim{}}
	maps.Copy(next.ByID, old.ByID)
	next.ByID[id] = []kubelet.Claim{{ID: id, Namespace: "team", Name: "train-0", Pod: "uid-train", Confirmed: true}}
	m.claims.Set(next)
}

func (m *machine) usable(slot mig.Slot) bool {
	in := find(m.layout, slot)
	return in != nil && len(in.Compute) == 1
}

// exists are the slots with an instance, in order.
func (m *machine) exists() (out []string) {
	for _, in := range m.layout.Instances {
		text := in.Slot.String()
		if len(in.Compute) == 0 {
			text += " empty"
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return out
}

func (m *machine) owned(e *Executor) (out []string) {
	s, _ := e.State().Get()
	for uuid, slot := range s.GPUs[uuid0].Owned {
		in := find(m.layout, slot)
		if in == nil || len(in.Compute) != 1 || in.Compute[0].UUID != uuid {
			m.t.Errorf("it owns %s, which does not exist", slot)
		}
		out = append(out, slot.String())
	}
	slices.Sort(out)
	return out
}

func create(slot string) plan.Step { return plan.Step{Op: plan.Create, GPU: uuid0, Slot: place(slot)} }

func destroy(slot string) plan.Step {
	return plan.Step{Op: plan.Destroy, GPU: uuid0, Slot: place(slot)}
}

func causeIn(err error) Cause {
	var r *RefusalError
	if errors.As(err, &r) {
		return r.Cause
	}
	return ""
}
