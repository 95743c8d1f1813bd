// Package gpufake is a gpu.Driver for tests: GPUs whose answers, losses, hangs and events a test decides.
// It owns no rules of NVIDIA's: what a test sets is what the inventory reads. It never touches hardware.
package gpufake

import (
	"sync"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// Driver is the fake. Its zero value has no GPUs and works.
type Driver struct {
	mu      sync.Mutex
	info    gpu.DriverInfo
	gaps    []gpu.Gap
	gpus    []*GPU
	openErr error
	hang    chan struct{} // non-nil: Open blocks
	session int           // handles of other sessions are lost
	open    bool
	opens   int
}

// New makes a driver of version 550.54.15 with these GPUs.
func New(gpus ...*GPU) *Driver {
	d := &Driver{info: gpu.DriverInfo{Version: "550.54.15", NVML: "12.550.54.15", CUDA: "12.4"}}
	for _, g := range gpus {
		g.driver = d
		d.gpus = append(d.gpus, g)
	}
	return d
}

// SetInfo sets what Info answers.
func (d *Driver) SetInfo(info gpu.DriverInfo, gaps ...gpu.Gap) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.info, d.gaps = info, gaps
}

// SetGPUs replaces the GPUs, as the driver lists them from the next session on.
func (d *Driver) SetGPUs(gpus ...*GPU) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gpus = nil
	for _, g := range gpus {
		if g.driver != d {
			g.driver = d
		}
		d.gpus = append(d.gpus, g)
	}
}

// SetOpenError makes Open fail; nil ends that.
func (d *Driver) SetOpenError(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.openErr = err
}

// HangOpen makes Open block until the function that it returns is called.
func (d *Driver) HangOpen() (release func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := make(chan struct{})
	d.hang = c
	return sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.hang = nil
		close(c)
	})
}

// Restart is the driver being unloaded and loaded: handles are lost, waits end.
func (d *Driver) Restart() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = false
	d.session++
	for _, g := range d.gpus {
		g.dropSources()
	}
}

// Opens is how often the driver was opened.
func (d *Driver) Opens() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.opens
}

// Open starts a session.
func (d *Driver) Open() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.hang != nil {
		c := d.hang
		d.mu.Unlock()
		<-c
		d.mu.Lock()
	}
	if d.openErr != nil {
		return d.openErr
	}
	d.open = true
	d.opens++
	return nil
}

// Close ends the session.
func (d *Driver) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = false
	d.session++
	return nil
}

func refuse(call, text string, kind error) error {
	return &gpu.DriverError{Call: call, Text: text, Kind: kind}
}

// alive is checked by each call. The caller holds mu.
func (d *Driver) alive(call string) error {
	if !d.open {
		return refuse(call, "the driver was restarted", gpu.ErrSessionLost)
	}
	return nil
}

// Info answers what SetInfo set.
func (d *Driver) Info() (gpu.DriverInfo, []gpu.Gap, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.info, d.gaps, d.alive("Info")
}

// Count counts.
func (d *Driver) Count() (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.gpus), d.alive("Count")
}

// GPU looks up.
func (d *Driver) GPU(index int) (gpu.DriverGPU, error) {
	d.mu.Lock()
	if err := d.alive("GPU"); err != nil {
		d.mu.Unlock()
		return nil, err
	}
	if index < 0 || index >= len(d.gpus) {
		d.mu.Unlock()
		return nil, refuse("GPU", "invalid argument", gpu.ErrEnd)
	}
	g, session := d.gpus[index], d.session
	d.mu.Unlock()
	h := &handle{g: g, session: session}
	return h, h.call("GPU", func() {})
}

var _ gpu.Driver = (*Driver)(nil)

// GPU is one fake GPU. Change it by its methods only once a driver has it.
type GPU struct {
	driver    *Driver
	ID        gpu.Identity
	Profiles  mig.Geometry
	Gaps      []gpu.Gap // told with the identity
	layout    gpu.Layout
	condition gpu.Condition
	holders   []gpu.Holder
	links     []gpu.Link
	ancestors map[gpu.UUID]gpu.Ancestor
	lost      bool
	err       error
	noEvents  bool
	hang      chan struct{}
	sources   []*source
	serial    int
	telemetry telemetryState
	changes   changes
}

// do changes the GPU under the driver's lock, if it has one yet.
func (g *GPU) do(f func()) {
	if g.driver != nil {
		g.driver.mu.Lock()
		defer g.driver.mu.Unlock()
	}
	f()
}

// SetLayout sets mode and instances.
func (g *GPU) SetLayout(l gpu.Layout) { g.do(func() { g.layout = l }) }

// SetProfiles sets the geometry.
func (g *GPU) SetProfiles(p mig.Geometry) { g.do(func() { g.Profiles = p }) }

// SetCondition sets what health is judged by.
func (g *GPU) SetCondition(c gpu.Condition) { g.do(func() { g.condition = c }) }

// SetHolders sets the processes.
func (g *GPU) SetHolders(h ...gpu.Holder) { g.do(func() { g.holders = h }) }

// SetLinks sets the NVLinks.
func (g *GPU) SetLinks(l ...gpu.Link) { g.do(func() { g.links = l }) }

// SetAncestor sets where the path to another GPU meets; AncestorSystem unless set.
func (g *GPU) SetAncestor(peer gpu.UUID, a gpu.Ancestor) {
	g.do(func() {
		if g.ancestors == nil {
			g.ancestors = map[gpu.UUID]gpu.Ancestor{}
		}
		g.ancestors[peer] = a
	})
}

// SetLost loses the GPU or brings it back.
func (g *GPU) SetLost(lost bool) { g.do(func() { g.lost = lost }) }

// SetError makes every call fail; nil ends that.
func (g *GPU) SetError(err error) { g.do(func() { g.err = err }) }

// NoEvents makes Watch answer that this GPU has none.
func (g *GPU) NoEvents() { g.do(func() { g.noEvents = true }) }

// Hang makes every call block until the function that it returns is called.
func (g *GPU) Hang() (release func()) {
	c := make(chan struct{})
	g.do(func() { g.hang = c })
	return sync.OnceFunc(func() {
		g.do(func() { g.hang = nil })
		close(c)
	})
}

// Watched is how many registrations for events there are.
func (g *GPU) Watched() (n int) {
	g.do(func() { n = len(g.sources) })
	return n
}

// Send raises an event.
func (g *GPU) Send(e gpu.Event) {
	g.do(func() {
		for _, s := range g.sources {
			select {
			case s.events <- e:
			default: // nobody reads: as a driver's queue, it is bounded
			}
		}
	})
}

// XID raises an XID of the whole GPU.
func (g *GPU) XID(x uint64) {
	g.Send(gpu.Event{Kind: gpu.EventXID, XID: x, GPUInstance: gpu.NoInstance, ComputeInstance: gpu.NoInstance})
}

// dropSources ends all waits. The caller holds the driver's mu.
func (g *GPU) dropSources() {
	for _, s := range g.sources {
		close(s.gone)
	}
	g.sources = nil
}
