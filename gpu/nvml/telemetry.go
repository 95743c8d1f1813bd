package nvml

import (
	"cmp"
	"errors"
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

// reader reads the fields of one entity in one Read.
type reader struct {
	t      *telemetry
	ref    gpu.InstanceRef // ID is NoInstance for the whole GPU
	handle func() (nv.Device, error)
	values map[fieldID]outcome
	asked  map[string]asked
	gpm    map[nv.GpmMetricId]outcome
	at     time.Time
}

// asked is the result of a query, which several fields share.
type asked struct {
	answer answer
	err    error
}

// outcome is a value or why there is none.
type outcome struct {
	value  float64
	text   string
	at     time.Time
	absent *gpu.Absence
}

func lacking(code gpu.AbsenceCode, text string) outcome {
	return outcome{absent: &gpu.Absence{Code: code, Text: text}}
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

// read answers each field that there is a source for.
func (r *reader) read(out []gpu.Reading, fields []gpu.Field) ([]gpu.Reading, error) {
	if metrics := r.metrics(fields); len(metrics) > 0 {
		if err := r.measure(metrics); err != nil {
			return nil, err
		}
	}
	for _, f := range fields {
		ways, ok := r.t.sources[f]
		if !ok {
			continue
		}
		o, err := r.field(ways)
		if err != nil {
			return nil, err
		}
		at := o.at
		if at.IsZero() {
			at = r.at
		}
		out = append(out, gpu.Reading{
			Entity: gpu.Entity{GPU: r.t.uuid, Instance: r.ref.ID}, Field: f, Value: o.value, Text: o.text, At: at, Absent: o.absent,
		})
	}
	return out, nil
}

// field takes the first source that the entity and the driver have.
func (r *reader) field(ways []source) (outcome, error) {
	var last outcome
	for _, s := range ways {
		o, err := r.source(s)
		if err != nil || o.absent == nil {
			return o, err
		}
		if last.absent == nil || last.absent.Code != gpu.NoSource {
			last = o // what DCGM would have is worth more to know than what no source has
		}
		if !lasting(o.absent.Code) {
			return o, nil
		}
	}
	return last, nil
}

// lasting reports whether an absence stays until the layout changes.
func lasting(c gpu.AbsenceCode) bool {
	return c == gpu.NotSupported || c == gpu.NoFunction || c == gpu.NoSource
}

// source measures by one source.
func (r *reader) source(s source) (outcome, error) {
	instance := r.ref.ID != gpu.NoInstance
	switch {
	case instance && !s.ofInstances():
		return lacking(gpu.NotSupported, "it is measured for the GPU as a whole only"), nil
	case s.notInMIG() && r.t.seen.mig:
		return lacking(gpu.NotSupported, "the driver measures no utilization of a GPU in MIG mode"), nil
	case len(s.gpm) > 0:
		return r.sum(s), nil
	case len(s.fields) > 0:
		return r.counted(s), nil
	}
	return r.query(s)
}

// query makes one call, or takes its answer to another field.
func (r *reader) query(s source) (outcome, error) {
	key := absentKey{instance: r.ref.ID, query: s.query}
	if a, ok := r.t.absent[key]; ok {
		return outcome{absent: a}, nil
	}
	if r.ref.MIG == "" && r.ref.ID != gpu.NoInstance {
		return lacking(gpu.NoData, "the GPU instance has no compute instance"), nil
	}
	got, ok := r.asked[s.query]
	if !ok {
		q := r.t.queries[s.query]
		var h nv.Device
		if h, got.err = r.handle(); got.err == nil {
			got.err = r.t.v.d.call(q.symbol, func() (ret nv.Return) { got.answer, ret = q.call(h); return ret })
		}
		r.asked[s.query] = got
	}
	if whole(got.err) {
		return outcome{}, got.err
	}
	if got.err == nil {
		if s.query == "memory" || s.query == "memory v1" {
			r.t.use.memory(r.ref.ID, got.answer.n[2], r.at)
		}
		if got.answer.lacks[s.part] {
			return lacking(gpu.NotSupported, r.t.v.d.name()+" counts reserved memory as used"), nil
		}
		if got.answer.worded && got.answer.text == "" {
			return lacking(gpu.NoData, "the driver tells none"), nil
		}
		return outcome{value: got.answer.n[s.part] * s.scale, text: got.answer.text}, nil
	}
	o := r.failed(got.err)
	if lasting(o.absent.Code) {
		r.t.absent[key] = o.absent
	}
	return o, nil
}

// failed turns an error of one measurement into an absence.
func (r *reader) failed(err error) outcome {
	gone := errors.Is(err, gpu.ErrEnd) || errors.Is(err, gpu.ErrNotFound)
	if r.ref.ID != gpu.NoInstance && gone {
		if r.t.migs[r.ref.MIG].err == nil {
			delete(r.t.migs, r.ref.MIG) // it was there; now the driver will say that it is not
		}
		return lacking(gpu.Lost, "the GPU instance is gone")
	}
	return outcome{absent: absence(err)}
}

// absence says what an error means for a measurement.
func absence(err error) *gpu.Absence {
	kinds := []struct {
		is   error
		code gpu.AbsenceCode
		text string
	}{
		{gpu.ErrMissing, gpu.NoFunction, ""},
		{gpu.ErrNotSupported, gpu.NotSupported, ""},
		{gpu.ErrEnd, gpu.NoFunction, "this driver does not know it"},
		{gpu.ErrPermission, gpu.NoPermission, ""},
		{gpu.ErrNoData, gpu.NoData, ""},
	}
	text := err.Error()
	var e *gpu.DriverError
	if errors.As(err, &e) && errors.Is(err, gpu.ErrMissing) {
		text = e.Text
	}
	for _, k := range kinds {
		if errors.Is(err, k.is) {
			return &gpu.Absence{Code: k.code, Text: cmp.Or(k.text, text)}
		}
	}
	return &gpu.Absence{Code: gpu.Failed, Text: text}
}

// Release frees the GPM samples and forgets the handles of MIG devices.
func (t *telemetry) Release() error {
	clear(t.migs)
	return t.freeAll()
}
