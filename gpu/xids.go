package gpu

import (
	"context"
	"time"

	"github.com/gpulet/gpulet/gpu/xid"
)

// hit takes an XID, of which from told. It reports whether a probe should look at what it did.
func (m *Monitor) hit(t *tracked, e Event, at time.Time, from string) bool {
	entry := t.machine.Event(at, e)
	m.cfg.Log.Warn("XID", "gpu", t.static.id.UUID, "index", t.index, "xid", entry.XID, "name", entry.Name,
		"class", entry.Class.String(), "effect", entry.Effect.String(), "from", from,
		"gpuInstance", int32(e.GPUInstance), "computeInstance", int32(e.ComputeInstance))
	m.save()
	return entry.Effect != xid.None
}

// XID takes an XID that the driver's events did not bring: it does to health what an event of that time would have done. One of
// an instance that is gone does nothing. It waits for Run, which does not answer while it opens the driver, or until ctx ends;
// ErrUnknownGPU is about a GPU that never answered.
func (m *Monitor) XID(ctx context.Context, uuid UUID, e Event, at time.Time) error {
	known := false
	err := m.ask(ctx, func() {
		t := m.known[uuid]
		if t == nil {
			return
		}
		known = true
		if look := m.hit(t, e, at, "kernel log"); look {
			if s := m.slotOf(uuid); s != nil {
				s.look()
			}
		}
		m.publish()
	})
	if err == nil && !known {
		err = ErrUnknownGPU
	}
	return err
}
