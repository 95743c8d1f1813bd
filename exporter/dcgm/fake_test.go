package dcgm

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/NVIDIA/go-dcgm/pkg/dcgm"

	"github.com/gpulet/gpulet/gpu"
)

// fakeLibrary is a libdcgm with GPUs of one's choice. Its values are 1000*GPU id + field, or 100000*instance id + field.
type fakeLibrary struct {
	mu        sync.Mutex // guards all
	ids       []uint
	layout    []instance
	unknown   []gpu.Field
	prof      map[uint][]gpu.Field // nil: all can be profiled
	together  int                  // profiling fields in one watch; 0: any number
	busy      bool                 // another profiler has the GPUs
	names     map[uint]gpu.UUID    // of GPUs that have another than fakeUUID's
	grouped   []pair               // of the last group
	lostGPU   map[uint]bool
	down      bool // the engine is gone
	hang      chan struct{}
	frozen    time.Time // the time of all values, when set
	version   string
	openErr   error
	openings  int
	calls     int // of values
	largest   int
	asked     map[pair][]gpu.Field
	watched   map[uintptr]bool // of groups and field groups that were not given back
	next      uintptr
	detached  bool
	detachErr error
}

func newFakeLibrary(gpus ...uint) *fakeLibrary {
	return &fakeLibrary{ids: gpus, version: "4.5.2", asked: map[pair][]gpu.Field{}, watched: map[uintptr]bool{}}
}

func (f *fakeLibrary) set(change func()) { f.mu.Lock(); defer f.mu.Unlock(); change() }

func (f *fakeLibrary) open(place, string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.openings++
	if f.down {
		return troublef(gpu.NoSource, "connection refused")
	}
	f.watched = map[uintptr]bool{}
	return f.openErr
}

func (f *fakeLibrary) close() {}

func (f *fakeLibrary) fail() error {
	if f.down {
		return statusError{statusConnectionLost}
	}
	return nil
}

func (f *fakeLibrary) versions() (library, engine string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return "4.6.1", f.version, f.fail()
}

func (f *fakeLibrary) known(field gpu.Field) bool { return !slices.Contains(f.unknown, field) }

func (f *fakeLibrary) gpus() ([]uint, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ids, f.fail()
}

func (f *fakeLibrary) instances() ([]instance, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.layout, f.fail()
}

func (f *fakeLibrary) profiled(id uint) (map[gpu.Field]bool, error) {
	out := map[gpu.Field]bool{}
	if f.prof == nil {
		for i := gpu.Field(1001); i < 1097; i++ {
			out[i] = true
		}
		return out, nil
	}
	list, ok := f.prof[id]
	if !ok {
		return nil, statusError{-36}
	}
	for _, field := range list {
		out[field] = true
	}
	return out, nil
}

func (f *fakeLibrary) group(_ string, of []pair) (g dcgm.GroupHandle, partial bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next++
	f.watched[f.next] = true
	g.SetHandle(f.next)
	f.grouped = nil
	for _, p := range of {
		if p.group == dcgm.FE_GPU && f.lostGPU[p.id] {
			partial = true
			continue
		}
		f.grouped = append(f.grouped, p)
	}
	return g, partial, f.fail()
}

func (f *fakeLibrary) dropGroup(g dcgm.GroupHandle) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.watched, g.GetHandle())
}

func (f *fakeLibrary) watch(_ string, _ dcgm.GroupHandle, fields []gpu.Field, _ time.Duration) (h dcgm.FieldHandle, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(fields) > maxFields {
		return h, fmt.Errorf("%d fields in one group", len(fields))
	}
	if n := len(fields); f.together > 0 && n > f.together && profiling(fields[0]) {
		return h, statusError{-38}
	}
	if f.busy && profiling(fields[0]) {
		return h, errors.New("error watching fields: the resource is in use")
	}
	f.next++
	f.watched[f.next] = true
	h.SetHandle(f.next)
	return h, f.fail()
}

func (f *fakeLibrary) unwatch(h dcgm.FieldHandle, _ dcgm.GroupHandle) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.watched, h.GetHandle())
}

func (f *fakeLibrary) values(of []pair, fields []gpu.Field, live bool) (out []value, err error) {
	f.mu.Lock()
	hang := f.hang
	f.mu.Unlock()
	if hang != nil {
		<-hang
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.largest = max(f.largest, len(of)*len(fields)); f.down {
		return nil, f.fail()
	}
	for _, p := range of {
		if p.group == dcgm.FE_GPU && f.lostGPU[p.id] {
			return nil, statusError{statusGPULost}
		}
	}
	for _, p := range of {
		for _, field := range fields {
			v := value{of: p, field: field, kind: 'i', i: int64(p.id)*1000 + int64(field), at: time.Now().UnixMicro()}
			if !f.frozen.IsZero() {
				v.at = f.frozen.UnixMicro()
			}
			if p.group == dcgm.FE_GPU_I {
				v.i = int64(p.id)*100_000 + int64(field)
			}
			if live && field == 54 {
				v.kind, v.s = 's', string(cmp.Or(f.names[p.id], fakeUUID(p.id)))
			}
			if !live && !slices.Contains(f.asked[p], field) {
				f.asked[p] = append(f.asked[p], field)
			}
			out = append(out, v)
		}
	}
	return out, nil
}

func (f *fakeLibrary) detach() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.detached = f.detachErr == nil
	return f.detachErr
}

func (f *fakeLibrary) attach() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.detached = false
	return nil
}

func fakeUUID(id uint) gpu.UUID { return gpu.UUID(fmt.Sprintf("GPU-%d", id)) }
