package model

import "errors"

// Node is one simulated machine. It is safe for concurrent use.
type Node struct{}

// Client is what one process holds of the driver: handles, event sets, samples. It is safe for concurrent use.
type Client struct{ node *Node }

var errTodo = errors.New("not there yet")

// New builds a node of the shape and boots it.
func New(shape Shape, opts Options) (*Node, error) { return nil, errTodo }

// Connect is a process that loads the library. Close it when the process ends.
func (n *Node) Connect(caller Caller) *Client { return &Client{node: n} }

// Close gives back everything that the process held.
func (c *Client) Close() {}

// Status is the node in one picture.
func (n *Node) Status() Status { return Status{} }

// FindGPU gives the index of a GPU by index, UUID or PCI address.
func (n *Node) FindGPU(selector string) (int, error) { return 0, errTodo }

// StartProcess puts a process on a GPU or instance; PID 0 draws one. On a GPU with MIG on it must name an instance.
func (n *Node) StartProcess(t Target, p ProcessSpec) (pid int, err error) { return 0, errTodo }

// EndProcess ends it everywhere.
func (n *Node) EndProcess(pid int) error { return errTodo }

// SetLoad replaces the load of a GPU or instance; the zero Load removes it.
func (n *Node) SetLoad(t Target, l Load) error { return errTodo }

// InjectXID raises an XID event; gi and ci are NoInstance where it is not attributable.
func (n *Node) InjectXID(gpu int, xid uint64, gi, ci uint32) error { return errTodo }

// InjectECC counts errors and raises the event.
func (n *Node) InjectECC(gpu int, f EccFault) error { return errTodo }

// SetRowRemap sets the state of row remapping.
func (n *Node) SetRowRemap(gpu int, r RemappedRows) error { return errTodo }

// SetRecoveryAction sets what field 230 (NVML_FI_DEV_GET_GPU_RECOVERY_ACTION) says.
func (n *Node) SetRecoveryAction(gpu int, action uint32) error { return errTodo }

// SetLost makes a GPU fall off the bus, or puts it back.
func (n *Node) SetLost(gpu int, lost bool) error { return errTodo }

// Hang makes every call to one GPU block; Unhang ends it and lets the blocked calls go on.
func (n *Node) Hang(gpu int, f HangFault) error { return errTodo }

// Unhang ends a hang.
func (n *Node) Unhang(gpu int) error { return errTodo }

// FailCalls makes calls fail from now on.
func (n *Node) FailCalls(f ErrorFault) {}

// SlowCalls makes calls slow from now on.
func (n *Node) SlowCalls(f LatencyFault) {}

// ClearFaults ends hang, loss, latency, injected errors, leaks and recovery state of one GPU; -1: of all, with what names none.
func (n *Node) ClearFaults(gpu int) {}

// LeakHandle makes a GPU or instance held by an unknown client until DropLeaks.
func (n *Node) LeakHandle(t Target) error { return errTodo }

// DropLeaks ends the leaks of a GPU; -1: of all.
func (n *Node) DropLeaks(gpu int) {}

// SetNvLinkDown takes a link down or up.
func (n *Node) SetNvLinkDown(gpu int, link uint32, down bool) error { return errTodo }

// ResetGPU is nvidia-smi --gpu-reset: it activates a pending MIG mode, clears volatile errors and remaps rows. InUse while clients hold the GPU.
func (n *Node) ResetGPU(gpu int) Return { return NotSupported }

// Reboot starts the machine anew: every client, process and instance is gone, the MIG mode stays on Ampere only.
func (n *Node) Reboot() {}

// UnloadDriver removes the kernel module; InUse while processes run or clients hold handles (force ends them).
func (n *Node) UnloadDriver(force bool) error { return errTodo }

// LoadDriver loads the module, in another version unless empty.
func (n *Node) LoadDriver(version string) error { return errTodo }

// DriverVersion is the version that is loaded or would be.
func (n *Node) DriverVersion() string { return "" }

// Files lists what the driver shows under /proc, /sys and /dev, sorted by path.
func (n *Node) Files() []File { return nil }

// Changed gives a channel that is closed at the next change of Files or Status's layout.
func (n *Node) Changed() <-chan struct{} { return nil }

// Calls counts the calls by C name since the start.
func (n *Node) Calls() map[string]uint64 { return nil }
