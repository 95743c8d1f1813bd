// Package nvml is gpu.Driver on NVIDIA's management library, through go-nvml: the only package that imports it.
// It owns the library's session and its handles, and looks every function up before it calls it, since go-nvml
// ends the process when one is missing. It never decides anything: what it read goes to the inventory as it is.
package nvml

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/dl"
	nv "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/gpulet/gpulet/gpu"
)

// Options say where the library is.
type Options struct {
	// Library is its path; empty: as the loader finds it, then in the library folders of DriverRoot.
	Library string
	// DriverRoot is the folder that holds the driver's files, "/" or such as "/run/nvidia/driver".
	DriverRoot string
	// Now tells the time for measurements; nil: the system's.
	Now func() time.Time
}

// soname is the library's name for the loader.
const soname = "libnvidia-ml.so.1"

// Driver is gpu.Driver. Its methods may be called at the same time, except Open and Close.
type Driver struct {
	opts Options

	mu      sync.Mutex
	lib     nv.Interface       // guarded by mu; nil before the library was loaded
	path    string             // guarded by mu
	keep    *dl.DynamicLibrary // guarded by mu: a reference that is never given back, see load
	bound   bool               // guarded by mu: go-nvml chose the functions' versions, at its first Init
	inits   int                // guarded by mu: sessions to end
	symbols map[string]bool    // guarded by mu
	version string             // guarded by mu
}

// New makes a driver; nothing is loaded before Open.
func New(opts Options) *Driver {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Driver{opts: opts, symbols: map[string]bool{}}
}

var _ gpu.Driver = (*Driver)(nil)

// candidates are the paths to try in order.
func (d *Driver) candidates() []string {
	if d.opts.Library != "" {
		return []string{d.opts.Library}
	}
	out := []string{soname}
	if d.opts.DriverRoot == "" {
		return out
	}
	for _, dir := range []string{"usr/lib/x86_64-linux-gnu", "usr/lib64", "usr/lib/aarch64-linux-gnu", "lib64", "lib/x86_64-linux-gnu", "usr/lib", "usr/lib/wsl/lib", "opt/lib64"} {
		path := filepath.Join(d.opts.DriverRoot, dir, soname)
		if _, err := os.Stat(path); err == nil {
			out = append(out, path)
		}
	}
	return out
}

// load finds the library. It keeps a reference of its own: the calls into it are bound to its address at their first use,
// so the library must never be unmapped, and another version cannot take its place in this process. The caller holds mu.
func (d *Driver) load() error {
	if d.lib != nil {
		return nil
	}
	var first error
	for _, path := range d.candidates() {
		keep := dl.New(path, dl.RTLD_LAZY|dl.RTLD_GLOBAL)
		if err := keep.Open(); err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		d.keep, d.path = keep, path
		d.lib = nv.New(nv.WithLibraryPath(path))
		return nil
	}
	return &gpu.DriverError{Call: "load " + soname, Text: first.Error(), Kind: gpu.ErrNoDriver}
}

// Open starts a session. Handles that an earlier session gave are invalid afterwards if Close came between.
func (d *Driver) Open() error {
	d.mu.Lock()
	err := d.load()
	d.mu.Unlock()
	if err != nil {
		return err
	}
	for _, s := range []string{"nvmlInit_v2", "nvmlShutdown"} {
		if !d.has(s) {
			return &gpu.DriverError{Call: s, Text: "this is no library of a supported driver", Kind: gpu.ErrNoDriver}
		}
	}
	err = wrap("nvmlInit_v2", d.lib.Init())
	d.mu.Lock()
	d.bound = true
	d.mu.Unlock()
	if err != nil {
		return err
	}
	var version string
	_ = d.call("nvmlSystemGetDriverVersion", func() (ret nv.Return) { version, ret = d.lib.SystemGetDriverVersion(); return ret })
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inits++
	d.version = version
	return nil
}

// Close ends all sessions, so that the driver forgets our handles.
func (d *Driver) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for ; d.inits > 0; d.inits-- {
		switch ret := d.lib.Shutdown(); ret {
		case nv.SUCCESS:
		case nv.ERROR_UNINITIALIZED: // the driver was restarted underneath: there is nothing to end
		default:
			d.inits = 0
			return wrap("nvmlShutdown", ret)
		}
	}
	return nil
}

// has reports whether the library has a function; go-nvml ends the process when a missing one is called.
func (d *Driver) has(symbol string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	found, known := d.symbols[symbol]
	if !known {
		// Through our own reference: go-nvml's look-up fails between sessions, and that must not pass for a missing function.
		found = d.keep != nil && d.keep.Lookup(symbol) == nil
		d.symbols[symbol] = found
	}
	return found
}

// call makes one call of the library if it has the function.
func (d *Driver) call(symbol string, f func() nv.Return) error {
	d.mu.Lock()
	bound := d.bound
	d.mu.Unlock()
	if !bound {
		return wrap(symbol, nv.ERROR_UNINITIALIZED)
	}
	if !d.has(symbol) {
		return &gpu.DriverError{Call: symbol, Text: d.lacks(symbol), Kind: gpu.ErrMissing}
	}
	return wrap(symbol, f())
}

func (d *Driver) lacks(symbol string) string { return d.name() + " has no " + symbol }

// name is the driver's for people.
func (d *Driver) name() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.version == "" {
		return "this driver"
	}
	return "driver " + d.version
}

// features are the functions without which something is missing on the whole node, by what they give.
func features() []struct{ feature, symbol string } {
	return []struct{ feature, symbol string }{
		{"MIG", "nvmlDeviceGetMigMode"},
		{"profile names from the driver", "nvmlDeviceGetGpuInstanceProfileInfoV"},
		{"row remapping", "nvmlDeviceGetRemappedRows"},
		{"fabric state", "nvmlDeviceGetGpuFabricInfo"},
		{"processes", "nvmlDeviceGetComputeRunningProcesses"},
		{"graphics processes", "nvmlDeviceGetGraphicsRunningProcesses"},
		{"MPS processes", "nvmlDeviceGetMPSComputeRunningProcesses"},
		{"events", "nvmlEventSetCreate"},
		{"topology", "nvmlDeviceGetTopologyCommonAncestor"},
		{"NVLink", "nvmlDeviceGetNvLinkState"},
		{"peers of NVLinks", "nvmlDeviceGetNvLinkRemotePciInfo"},
		{"NVSwitch", "nvmlDeviceGetNvLinkRemoteDeviceType"},
	}
}

// Info says who the driver is and what it lacks.
func (d *Driver) Info() (info gpu.DriverInfo, gaps []gpu.Gap, err error) {
	err = d.call("nvmlSystemGetDriverVersion", func() (ret nv.Return) {
		info.Version, ret = d.lib.SystemGetDriverVersion()
		return ret
	})
	if err != nil {
		return info, nil, err
	}
	g := gapList{}
	g.add("NVML version", d.call("nvmlSystemGetNVMLVersion", func() (ret nv.Return) {
		info.NVML, ret = d.lib.SystemGetNVMLVersion()
		return ret
	}))
	g.add("CUDA version", d.call("nvmlSystemGetCudaDriverVersion_v2", func() nv.Return {
		v, ret := d.lib.SystemGetCudaDriverVersion_v2()
		if ret == nv.SUCCESS {
			info.CUDA = fmt.Sprintf("%d.%d", v/1000, v%1000/10)
		}
		return ret
	}))
	for _, f := range features() {
		if !d.has(d.newest(f.symbol)) {
			g.gaps = append(g.gaps, gpu.Gap{Feature: f.feature, Reason: d.lacks(f.symbol)})
		}
	}
	return info, g.gaps, g.fatal
}

// Count is the number of GPUs.
func (d *Driver) Count() (n int, err error) {
	err = d.call("nvmlDeviceGetCount_v2", func() (ret nv.Return) { n, ret = d.lib.DeviceGetCount(); return ret })
	return n, err
}

// GPU looks a GPU up.
func (d *Driver) GPU(index int) (gpu.DriverGPU, error) {
	var h nv.Device
	err := d.call("nvmlDeviceGetHandleByIndex_v2", func() (ret nv.Return) { h, ret = d.lib.DeviceGetHandleByIndex(index); return ret })
	if err != nil {
		return nil, err
	}
	return &device{d: d, h: h, cis: map[uint32][]nv.ComputeInstanceProfileInfo{}}, nil
}
