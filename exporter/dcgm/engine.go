package dcgm

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/NVIDIA/go-dcgm/pkg/dcgm"

	"github.com/gpulet/gpulet/gpu"
)

// forgottenPause is between the first sign that the engine dropped a watch and the new watches.
const forgottenPause = 3 * time.Second

// lookPeriod is how often the list of GPUs and the engine's version are looked at; GPU instances are at every reading.
const lookPeriod = 15 * time.Second

// engine is the worker's connection to DCGM: what is watched there, of which entities, and what they are called elsewhere.
// One goroutine uses it.
type engine struct {
	lib   library
	limit func(memory uint64) // nil: none
	schedule
	fields []gpu.Field

	version string // of the engine, when it was connected to
	looked  time.Time
	devices []device
	layout  []instance
	watches *watches  // nil: to be made
	renewed time.Time // when watches were last made anew because the engine had dropped one
	serial  int       // makes names and parts unique
}

// device is a GPU of the engine.
type device struct {
	id   uint
	uuid gpu.UUID // empty while DCGM does not tell
	// can are the profiling fields that can be measured; cannot says why there are none.
	can    map[gpu.Field]bool
	cannot *gpu.Absence
}

// connect starts anew.
func (e *engine) connect(r request) error {
	e.schedule, e.fields = newSchedule(r.Fast), r.Fields
	e.version, e.looked, e.devices, e.layout, e.watches = "", time.Time{}, nil, nil, nil
	if err := e.lib.open(r.place, r.Host); err != nil {
		return err
	}
	if r.Attach {
		if err := e.lib.attach(); err != nil {
			return troublef(gpu.NoData, "the host engine does not take the GPUs back: %v", err)
		}
	}
	return nil
}

// watch replaces the fields and their pace. The GPUs are looked at anew: what of them can be profiled was not asked while no field
// needed it.
func (e *engine) watch(r request) {
	e.schedule, e.fields, e.looked = newSchedule(r.Fast), r.Fields, time.Time{}
	e.unwatch()
}

// detach makes the engine give up the GPUs.
func (e *engine) detach() error {
	e.unwatch()
	return e.lib.detach()
}

// read looks at what there is and reads what is due. After an error only connect helps.
func (e *engine) read(now time.Time) ([]part, error) {
	if err := e.look(now); err != nil {
		return nil, err
	}
	if w := e.watches; w != nil && w.partial && !now.Before(w.again) {
		e.unwatch()
	}
	if e.watches == nil {
		w, err := e.plan()
		w.again = now.Add(watchAgain)
		e.watches = w
		if err != nil {
			e.unwatch()
			return nil, err
		}
	}
	var parts []part
	for _, s := range e.watches.sets {
		p, err := e.readSet(s, now)
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// forgotten hears that the engine does not know a watch that was made. An instance that is destroyed takes its watches with it, and one
// that is made in its place before anybody looks has its number. What the engine never keeps is tried each minute.
func (e *engine) forgotten(now time.Time) {
	if e.watches.partial {
		return
	}
	e.watches.partial = true
	if now.Sub(e.renewed) >= watchAgain {
		e.renewed, e.watches.again = now, now.Add(forgottenPause)
	}
}

// look refreshes the entities, and drops the watches when they are others than before.
func (e *engine) look(now time.Time) error {
	if e.looked.IsZero() || now.Sub(e.looked) >= lookPeriod || slices.ContainsFunc(e.devices, func(d device) bool { return d.uuid == "" }) {
		if err := e.lookAtGPUs(); err != nil {
			return err
		}
		e.looked = now
	}
	layout, err := e.lib.instances()
	var s statusError
	switch {
	case errors.As(err, &s) && lostEngine(s.status):
		return err
	case err != nil: // the values tell whether the engine is lost; without MIG there is nothing to list
		layout = e.layout
	}
	if !slices.Equal(layout, e.layout) {
		e.layout = layout
		e.unwatch()
	}
	return nil
}

func (e *engine) lookAtGPUs() error {
	_, version, err := e.lib.versions()
	var s statusError
	if errors.As(err, &s) && lostEngine(s.status) {
		return err
	}
	if e.version == "" {
		e.version = version
	}
	if version != "" && version != e.version { // behind the same address
		return statusError{statusConnectionLost}
	}
	ids, err := e.lib.gpus()
	if err != nil {
		return err
	}
	devices := make([]device, len(ids))
	for i, id := range ids {
		devices[i] = device{id: id}
		if j := slices.IndexFunc(e.devices, func(d device) bool { return d.id == id }); j >= 0 {
			devices[i].uuid = e.devices[j].uuid // a GPU that does not tell now keeps its name
		}
	}
	e.name(devices)
	if slices.ContainsFunc(e.fields, profiling) {
		for i := range devices {
			d := &devices[i]
			if d.can, err = e.lib.profiled(d.id); err != nil {
				d.cannot = absenceOf(err)
			}
		}
	}
	same := slices.EqualFunc(devices, e.devices, func(a, b device) bool {
		return a.id == b.id && a.uuid == b.uuid && maps.Equal(a.can, b.can) && (a.cannot == nil) == (b.cannot == nil)
	})
	e.devices = devices
	if !same {
		e.unwatch()
	}
	return nil
}

// name asks for the UUIDs of GPUs, each by itself when one spoils the call for all. Those that have one are asked too: an engine that
// found the GPUs anew may number them otherwise.
func (e *engine) name(devices []device) {
	const uuidField = 54
	var ask []pair
	for _, d := range devices {
		ask = append(ask, pair{dcgm.FE_GPU, d.id})
	}
	if len(ask) == 0 {
		return
	}
	got, err := e.lib.values(ask, []gpu.Field{uuidField}, true)
	if err != nil {
		got = nil
		for _, p := range ask {
			if one, err := e.lib.values([]pair{p}, []gpu.Field{uuidField}, true); err == nil {
				got = append(got, one...)
			}
		}
	}
	for _, v := range got {
		if i := slices.IndexFunc(devices, func(d device) bool { return d.id == v.of.id }); i >= 0 && v.absence() == nil && v.kind == 's' {
			devices[i].uuid = gpu.UUID(v.s)
		}
	}
}

// unwatch gives the engine's groups back; the next reading makes new ones.
func (e *engine) unwatch() {
	if e.watches == nil {
		return
	}
	for _, s := range e.watches.sets {
		if s.watched {
			e.lib.unwatch(s.handle, s.group)
		}
	}
	for _, g := range e.watches.groups {
		e.lib.dropGroup(g)
	}
	e.watches = nil
}

// entity is what DCGM's number stands for; false while that is not known.
func (e *engine) entity(p pair) (gpu.Entity, bool) {
	if p.group == dcgm.FE_GPU {
		i := slices.IndexFunc(e.devices, func(d device) bool { return d.id == p.id })
		if i < 0 || e.devices[i].uuid == "" {
			return gpu.Entity{}, false
		}
		return e.devices[i].uuid.Whole(), true
	}
	i := slices.IndexFunc(e.layout, func(in instance) bool { return in.id == p.id })
	if i < 0 {
		return gpu.Entity{}, false
	}
	in := e.layout[i]
	of, ok := e.entity(pair{dcgm.FE_GPU, in.gpu})
	if !ok {
		of = in.uuid.Whole()
	}
	return gpu.Entity{GPU: of.GPU, Instance: uint32(in.nvml)}, strings.HasPrefix(string(of.GPU), "GPU-")
}

// absenceOf is the reason in an error of the library.
func absenceOf(err error) *gpu.Absence {
	var t trouble
	if errors.As(err, &t) {
		return &t.Absence
	}
	var s statusError
	if errors.As(err, &s) {
		return statusAbsence(s.status)
	}
	return &gpu.Absence{Code: gpu.Failed, Text: err.Error()}
}
