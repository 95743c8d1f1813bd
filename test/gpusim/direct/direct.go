// Package direct is gpu.Driver straight over the simulated hardware (test/gpusim/model), in process: no C library, no socket.
// It owns the session of one imagined process, which can be killed, and asks and answers as gpu/nvml does over the library.
// It never waits but on channels and timers, so it works inside testing/synctest bubbles, and it never measures: telemetry is absent.
package direct

import (
	"context"
	"os"
	"sync"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/test/gpusim/model"
)

// Driver is one process that uses NVML. Its methods may be called at the same time.
type Driver struct {
	node    *model.Node
	symbols map[string]model.Branch
	ctx     context.Context // of the process; a driver's calls have none of their own
	kill    context.CancelFunc

	mu     sync.Mutex
	caller model.Caller  // guarded by mu
	client *model.Client // guarded by mu; nil before the first Open
	inits  int           // guarded by mu: sessions to end
}

// New is a process that will use the node's driver; who says its pid (0: this process's), its user (0: root) and its rights.
// As a real process does, it keeps the library of its first Open: after an upgrade of the driver Open answers
// gpu.ErrLibraryStale, and only another Driver helps.
func New(node *model.Node, who model.Caller) *Driver {
	if who.PID == 0 {
		who.PID = os.Getpid()
	}
	if who.Name == "" {
		who.Name = "gpulet"
	}
	ctx, kill := context.WithCancel(context.Background())
	return &Driver{node: node, symbols: model.Symbols(), ctx: ctx, kill: kill, caller: who}
}

var _ gpu.Driver = (*Driver)(nil)

// Kill ends the process at once: calls that wait return, the node takes back what it held, and every later call fails.
// What the calls had done stays done, whether or not anybody heard of it.
func (d *Driver) Kill() {
	d.kill()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.client != nil {
		d.client.Close()
	}
}

// Open starts a session.
func (d *Driver) Open() error {
	d.mu.Lock()
	if d.client == nil && d.ctx.Err() == nil {
		if d.caller.Library == "" {
			d.caller.Library = d.node.DriverVersion()
		}
		d.client = d.node.Connect(d.caller)
	}
	d.mu.Unlock()
	err := d.call("nvmlInit_v2", func(ctx context.Context, c *model.Client) model.Return { return c.InitWithFlags(ctx, 0) })
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inits++
	return nil
}

// Close ends all sessions.
func (d *Driver) Close() error {
	d.mu.Lock()
	inits := d.inits
	d.inits = 0
	d.mu.Unlock()
	for range inits {
		err := d.call("nvmlShutdown", func(ctx context.Context, c *model.Client) model.Return {
			ret := c.Shutdown(ctx)
			if ret == model.Uninitialized { // the driver was restarted underneath: there is nothing to end
				return model.Success
			}
			return ret
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// has reports whether the library that the process loaded has a function.
func (d *Driver) has(symbol string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return model.BranchOf(d.caller.Library) >= d.symbols[symbol]
}

// newest is the form of a function with three versions that a program takes.
func (d *Driver) newest(symbol string) string {
	if d.has(symbol + "_v3") {
		return symbol + "_v3"
	}
	return symbol + "_v2" // every branch has it
}

// call makes one call of the library if it has the function.
func (d *Driver) call(symbol string, f func(ctx context.Context, c *model.Client) model.Return) error {
	d.mu.Lock()
	c := d.client
	d.mu.Unlock()
	switch {
	case d.ctx.Err() != nil:
		return killed(symbol)
	case c == nil:
		return wrap(symbol, model.Uninitialized)
	case !d.has(symbol):
		return d.lacks(symbol)
	}
	ret := f(model.WithSymbol(d.ctx, symbol), c)
	if d.ctx.Err() != nil {
		return killed(symbol) // whatever the answer is, nobody hears it
	}
	return wrap(symbol, ret)
}

func (d *Driver) lacks(symbol string) error {
	return &gpu.DriverError{Call: symbol, Text: "driver " + d.library() + " has no " + symbol, Kind: gpu.ErrMissing}
}

func (d *Driver) library() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.caller.Library
}

// Count is the number of GPUs.
func (d *Driver) Count() (int, error) {
	var n uint32
	err := d.call("nvmlDeviceGetCount_v2", func(ctx context.Context, c *model.Client) (ret model.Return) {
		n, ret = c.DeviceGetCount(ctx)
		return ret
	})
	return int(n), err
}

// GPU looks a GPU up.
func (d *Driver) GPU(index int) (gpu.DriverGPU, error) {
	v := &device{d: d}
	err := d.call("nvmlDeviceGetHandleByIndex_v2", func(ctx context.Context, c *model.Client) (ret model.Return) {
		v.h, ret = c.DeviceGetHandleByIndex(ctx, uint32(index))
		return ret
	})
	if err != nil {
		return nil, err
	}
	return v, nil
}
