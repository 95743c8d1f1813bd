package nvml

import (
	"maps"
	"slices"
	"time"

	nv "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/gpulet/gpulet/gpu"
)

// What was not there is asked for again after a while, for drivers that say so while a GPU is busy with something else.
const (
	absentFor = 10 * time.Minute // what a GPU does not have
	goneFor   = 10 * time.Second // an instance that was not found
)

// telemetry is gpu.Telemetry. It remembers what a GPU does not have, so that this is asked seldom.
type telemetry struct {
	v       *device
	now     func() time.Time
	sources map[gpu.Field][]source
	queries map[string]ask

	uuid   gpu.UUID
	seen   *shape            // what the memory below is of
	own    *shape            // used while the inventory has not read the layout
	refs   []gpu.InstanceRef // of the last Read of instances
	absent map[absentKey]*gpu.Absence
	asked  time.Time // since when absent is remembered
	migs   map[gpu.UUID]migHandle
	looked time.Time // since when instances that were not found are remembered
	rates  map[fieldID]*growth
	pairs  map[gpu.InstanceRef]*pair
	gone   map[gpu.InstanceRef]bool // no sample can be taken of it
	gpm    *gpu.Absence             // why there is no GPM; its code is empty when there is; nil: not asked yet
	get    nv.GpmMetricsGetType     // 19 KB, used again and again
	use    use
}

// absentKey is a source of an entity; one of the last three is set.
type absentKey struct {
	instance uint32
	field    fieldID
	gpm      nv.GpmMetricId
	query    string
}

// migHandle is a looked-up MIG device, or why there is none.
type migHandle struct {
	h   nv.Device
	err error
}

// Telemetry measures this GPU.
func (v *device) Telemetry() gpu.Telemetry {
	return &telemetry{
		v: v, now: v.d.opts.Now, sources: sources(), queries: v.d.queries(),
		absent: map[absentKey]*gpu.Absence{}, migs: map[gpu.UUID]migHandle{}, rates: map[fieldID]*growth{}, pairs: map[gpu.InstanceRef]*pair{},
		gone: map[gpu.InstanceRef]bool{},
	}
}

// Read answers the fields of ask. GPU instances are read by their own handles, the whole GPU with one call for all field values.
func (t *telemetry) Read(q gpu.Ask) ([]gpu.Reading, error) {
	if err := t.follow(q); err != nil {
		return nil, err
	}
	out := make([]gpu.Reading, 0, len(q.Whole)+len(q.Instance)*len(q.Instances))
	whole := t.reader(gpu.InstanceRef{ID: gpu.NoInstance}, func() (nv.Device, error) { return t.v.h, nil })
	if err := whole.fetch(q.Whole); err != nil {
		return nil, err
	}
	out, err := whole.read(out, q.Whole)
	if err != nil || len(q.Instance) == 0 {
		return out, err
	}
	for _, ref := range q.Instances {
		r := t.reader(ref, func() (nv.Device, error) { return t.mig(ref) })
		if out, err = r.read(out, q.Instance); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (t *telemetry) reader(ref gpu.InstanceRef, handle func() (nv.Device, error)) *reader {
	return &reader{t: t, ref: ref, handle: handle, asked: map[string]asked{}, at: t.now()}
}

// follow forgets what it remembers when the GPU is divided in another way than it was.
func (t *telemetry) follow(q gpu.Ask) error {
	if t.uuid == "" {
		err := t.v.d.call("nvmlDeviceGetUUID", func() nv.Return {
			s, ret := t.v.h.GetUUID()
			t.uuid = gpu.UUID(s)
			return ret
		})
		if err != nil {
			return err
		}
	}
	moved := len(q.Instance) > 0 && !slices.Equal(q.Instances, t.refs)
	s := t.v.shape.Load()
	if s == nil {
		if t.own == nil || moved {
			state, err := t.v.mode()
			if whole(err) {
				return err
			}
			t.own = &shape{mig: state.Enabled}
		}
		s = t.own
	}
	if moved {
		t.refs = slices.Clone(q.Instances)
	}
	if s == t.seen && !moved {
		t.forget()
		return nil
	}
	if t.seen != nil && t.seen.mig != s.mig {
		_ = t.freeAll()
	}
	t.seen = s
	clear(t.absent)
	clear(t.migs)
	clear(t.gone)
	t.asked, t.looked = t.now(), t.now()
	t.use.forget()
	for ref := range t.pairs {
		if ref.ID != gpu.NoInstance && !slices.Contains(t.refs, ref) {
			_ = t.free(ref)
		}
	}
	return nil
}

// forget lets go of what was not there when it is time to ask again.
func (t *telemetry) forget() {
	now := t.now()
	if now.Sub(t.looked) >= goneFor {
		t.looked = now
		maps.DeleteFunc(t.migs, func(_ gpu.UUID, m migHandle) bool { return m.err != nil })
		clear(t.gone)
	}
	if now.Sub(t.asked) >= absentFor {
		t.asked = now
		clear(t.absent)
		t.use.unmeasured, t.use.unlisted = false, nil
		if t.gpm != nil && t.gpm.Code == gpu.NotSupported {
			t.gpm = nil
		}
	}
}

// mig gives the handle of an instance's MIG device, looked up once; seldom when that failed.
func (t *telemetry) mig(ref gpu.InstanceRef) (nv.Device, error) {
	if m, ok := t.migs[ref.MIG]; ok {
		return m.h, m.err
	}
	var m migHandle
	m.err = t.v.d.call("nvmlDeviceGetHandleByUUID", func() (ret nv.Return) {
		m.h, ret = t.v.d.lib.DeviceGetHandleByUUID(string(ref.MIG))
		return ret
	})
	t.migs[ref.MIG] = m
	return m.h, m.err
}

// Release frees the GPM samples and forgets the handles of MIG devices.
func (t *telemetry) Release() error {
	clear(t.migs)
	return t.freeAll()
}
