package dcgm

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/NVIDIA/go-dcgm/pkg/dcgm"

	"github.com/gpulet/gpulet/gpu"
)

// watches are what the engine watches for us.
type watches struct {
	groups []dcgm.GroupHandle
	sets   []*set
	ahead  map[cellKey]sighting
	// partial: DCGM refused an entity; then all is watched anew at this time.
	partial bool
	again   time.Time
}

// cellKey is a field of an entity.
type cellKey struct {
	of    pair
	field gpu.Field
}

// sighting is when a value was first seen whose time, by the engine's clock, has not come yet.
type sighting struct {
	at   int64
	seen time.Time
}

// sight gives the time of a value of the future: when it was first seen, so that it grows old where it does not change.
func (w *watches) sight(v value, now time.Time) time.Time {
	k := cellKey{v.of, v.field}
	s, ok := w.ahead[k]
	if !ok || s.at != v.at {
		s = sighting{v.at, now}
		w.ahead[k] = s
	}
	return s.seen
}

// set are fields of entities that are watched and read together.
type set struct {
	id     int
	of     []pair
	fields []gpu.Field
	every  time.Duration
	// absent: they are not watched, and this is why.
	absent *gpu.Absence

	tried   bool // it was asked to be watched
	watched bool
	handle  dcgm.FieldHandle
	group   dcgm.GroupHandle
	next    time.Time // when it is due
	again   time.Time // when watching it is tried anew, after a refusal that may pass
}

// watchAgain is how long a refused watch rests: another profiler may have had the GPU.
const watchAgain = time.Minute

// plan makes the watches: GPU-level fields of GPUs, the others of instances and of GPUs that are not divided.
func (e *engine) plan() (*watches, error) {
	w := &watches{ahead: map[cellKey]sighting{}}
	var known, unknown []gpu.Field
	for _, f := range e.fields {
		if e.lib.known(f) {
			known = append(known, f)
		} else {
			unknown = append(unknown, f)
		}
	}
	if len(unknown) > 0 {
		none := &gpu.Absence{Code: gpu.NoFunction, Text: "this DCGM does not know the field"}
		e.none(w, unknown, e.devices, none)
	}
	var plain, prof []gpu.Field
	for _, f := range known {
		if profiling(f) {
			prof = append(prof, f)
		} else {
			plain = append(plain, f)
		}
	}
	err := e.add(w, plain, e.devices)
	for _, c := range e.classes() {
		none := c[0].cannot // then can is empty
		if none == nil {
			none = &gpu.Absence{Code: gpu.NotSupported, Text: "DCGM cannot profile it on this GPU"}
		}
		can := slices.DeleteFunc(slices.Clone(prof), func(f gpu.Field) bool { return listed(f) && !c[0].can[f] })
		cannot := slices.DeleteFunc(slices.Clone(prof), func(f gpu.Field) bool { return !listed(f) || c[0].can[f] })
		e.none(w, cannot, c, none)
		err = errors.Join(err, e.add(w, can, c))
	}
	return w, err
}

// classes are the GPUs by what can be profiled of them: one watch of GPUs that differ fails for all.
func (e *engine) classes() (out [][]device) {
	for _, d := range e.devices {
		i := slices.IndexFunc(out, func(c []device) bool {
			return maps.Equal(c[0].can, d.can) && (c[0].cannot == nil) == (d.cannot == nil)
		})
		if i < 0 {
			out = append(out, nil)
			i = len(out) - 1
		}
		out[i] = append(out[i], d)
	}
	return out
}

// levels are the entities of GPUs: those for fields of whole GPUs and those for fields that instances have.
func (e *engine) levels(devices []device) (wholes, parts []pair) {
	for _, d := range devices {
		wholes = append(wholes, pair{dcgm.FE_GPU, d.id})
		n := len(parts)
		for _, in := range e.layout {
			if in.gpu == d.id {
				parts = append(parts, pair{dcgm.FE_GPU_I, in.id})
			}
		}
		if len(parts) == n {
			parts = append(parts, pair{dcgm.FE_GPU, d.id})
		}
	}
	return wholes, parts
}

// none adds sets without a watch, for which there is one reason.
func (e *engine) none(w *watches, fields []gpu.Field, devices []device, why *gpu.Absence) {
	wholes, parts := e.levels(devices)
	for _, instance := range []bool{false, true} {
		s := &set{of: wholes, every: staticPeriod, absent: why}
		if instance {
			s.of = parts
		}
		s.fields = slices.DeleteFunc(slices.Clone(fields), func(f gpu.Field) bool { return e.perInstance(f) != instance })
		if len(s.fields) > 0 {
			e.serial++
			s.id = e.serial
			w.sets = append(w.sets, s)
		}
	}
}

// add watches fields of GPUs, in one set for each level and period.
func (e *engine) add(w *watches, fields []gpu.Field, devices []device) error {
	type key struct {
		instance bool
		every    time.Duration
	}
	by := map[key][]gpu.Field{}
	for _, f := range fields {
		k := key{e.perInstance(f), e.period(f)}
		by[k] = append(by[k], f)
	}
	wholes, parts := e.levels(devices)
	groups := map[bool]dcgm.GroupHandle{}
	for k, fields := range by {
		of := wholes
		if k.instance {
			of = parts
		}
		if len(of) == 0 {
			continue
		}
		g, ok := groups[k.instance]
		if !ok {
			var partial bool
			var err error
			if g, partial, err = e.lib.group(e.unique(), of); err != nil {
				return err
			}
			w.partial = w.partial || partial
			groups[k.instance], w.groups = g, append(w.groups, g)
		}
		for chunk := range slices.Chunk(fields, maxFields) {
			e.watchSet(w, g, &set{of: of, fields: chunk, every: k.every})
		}
	}
	return nil
}

// watchSet watches the fields of s together or, when DCGM refuses that, each by itself: one that it does not measure here, or not
// together with others, costs itself.
func (e *engine) watchSet(w *watches, g dcgm.GroupHandle, s *set) {
	h, err := e.lib.watch(e.unique(), g, s.fields, s.every)
	if err != nil && len(s.fields) > 1 {
		for _, f := range s.fields {
			e.watchSet(w, g, &set{of: s.of, fields: []gpu.Field{f}, every: s.every})
		}
		return
	}
	s.id, s.group, s.handle, s.tried, s.watched = e.serial, g, h, true, err == nil
	if err != nil {
		s.absent = absenceOf(fmt.Errorf("DCGM does not watch it: %w", err))
	}
	w.sets = append(w.sets, s)
}

// retry watches a set that was refused once more, for all that may have had the GPU then.
func (e *engine) retry(s *set, now time.Time) {
	switch {
	case !s.refused():
	case s.again.IsZero():
		s.again = now.Add(watchAgain)
	case !now.Before(s.again):
		s.again = now.Add(watchAgain)
		if h, err := e.lib.watch(e.unique(), s.group, s.fields, s.every); err == nil {
			s.handle, s.watched, s.absent = h, true, nil
		}
	}
}

// refused: DCGM did not watch it, which may pass.
func (s *set) refused() bool { return s.absent != nil && s.tried && s.absent.Code != gpu.NoFunction }

// unique is a name that no earlier connection, which the engine may not have cleared away yet, has used.
func (e *engine) unique() string {
	e.serial++
	return fmt.Sprintf("gpulet-%d-%d", os.Getpid(), e.serial)
}

// readSet reads a set that is due.
func (e *engine) readSet(s *set, now time.Time) (part, error) {
	if now.Before(s.next) {
		return part{ID: s.id, Same: true}, nil
	}
	// A slow field is read more often than it is measured, so that its age stays near its period.
	s.next = now.Add(max(s.every/5, min(e.fast, s.every)) - e.fast/10)
	e.retry(s, now)
	if s.absent != nil {
		return part{ID: s.id, columns: pack(e.absences(s.of, s.fields, s.absent, now))}, nil
	}
	var out []gpu.Reading
	for of := range slices.Chunk(s.of, max(1, maxValues/len(s.fields))) {
		readings, err := e.readValues(of, s.fields, now)
		if err != nil {
			return part{}, err
		}
		out = append(out, readings...)
	}
	return part{ID: s.id, columns: pack(out)}, nil
}

// readValues reads entities together or, when that fails, each by itself: a GPU that is lost costs itself. Its error means that
// the engine is lost.
func (e *engine) readValues(of []pair, fields []gpu.Field, now time.Time) ([]gpu.Reading, error) {
	got, err := e.lib.values(of, fields, false)
	var s statusError
	switch {
	case errors.As(err, &s) && lostEngine(s.status):
		return nil, err
	case err != nil && len(of) > 1:
		var out []gpu.Reading
		for i := range of {
			r, err := e.readValues(of[i:i+1], fields, now)
			if err != nil {
				return nil, err
			}
			out = append(out, r...)
		}
		return out, nil
	case err != nil:
		return e.absences(of, fields, absenceOf(err), now), nil
	}
	out := make([]gpu.Reading, 0, len(got))
	for _, v := range got {
		if v.status == statusNotWatched {
			e.forgotten(now)
		}
		if entity, ok := e.entity(v.of); ok {
			r := v.reading(entity, now)
			if r.Absent == nil && !eventful(v.field) && time.UnixMicro(v.at).After(now) {
				r.At = e.watches.sight(v, now)
			}
			out = append(out, r)
		}
	}
	return out, nil
}

func (e *engine) absences(of []pair, fields []gpu.Field, why *gpu.Absence, now time.Time) (out []gpu.Reading) {
	for _, p := range of {
		entity, ok := e.entity(p)
		if !ok {
			continue
		}
		for _, f := range fields {
			out = append(out, gpu.Reading{Entity: entity, Field: f, At: now, Absent: why})
		}
	}
	return out
}
