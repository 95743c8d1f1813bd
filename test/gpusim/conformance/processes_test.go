package conformance

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// text reads a C string.
func text(p *int8) string {
	var b strings.Builder
	for ; p != nil && *p != 0; p = (*int8)(unsafe.Add(unsafe.Pointer(p), 1)) {
		b.WriteByte(byte(*p))
	}
	return b.String()
}

// eventually waits for something that another process causes.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// Two processes and the person at the machine see one node.
func TestTwoProcesses(t *testing.T) {
	n := sim.New(t, sim.Options{Shape: "hgx-h100"})
	a, b := newShell(t, n), newShell(t, n)
	a.is(t, "init", "0")
	b.is(t, "init", "0")
	a.is(t, "watch 0", "0")
	b.is(t, "watch 0", "0")
	waiting := a.start(t, "wait 10000")
	if err := n.XID(t.Context(), sim.Whole(0), 63); err != nil {
		t.Fatal(err)
	}
	ended(t, waiting, "wait", "0 63")
	b.is(t, "wait 1000", "0 63") // each set has each event
	b.is(t, "wait 1", "10")
	if err := n.SetMIG(t.Context(), 1, true); err != nil {
		t.Fatal(err)
	}
	_, uuid, err := n.CreateInstance(t.Context(), 1, "1g.10gb", nil)
	if err != nil {
		t.Fatal(err)
	}
	a.is(t, "mig 1", "0 "+uuid)
	b.is(t, "mig 1", "0 "+uuid)
	if clients := n.Model.Status().Clients; len(clients) != 2 || clients[0].PID != min(a.cmd.Process.Pid, b.cmd.Process.Pid) || clients[0].Name == "" {
		t.Errorf("%+v", clients)
	}
}

// A process that is killed, even in a blocked call, gives back what it held.
func TestKill(t *testing.T) {
	n := sim.New(t, sim.Options{Shape: "hgx-h100"})
	a := newShell(t, n)
	a.is(t, "init", "0")
	a.is(t, "watch 1", "0")
	a.start(t, "wait 100000")
	if err := n.Model.Hang(0, model.HangFault{}); err != nil {
		t.Fatal(err)
	}
	a.start(t, "uuid 0")
	if err := n.SetMIG(t.Context(), 1, true); err == nil {
		t.Error("MIG mode changes under an event set")
	}
	if err := a.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the client is gone", func() bool { return len(n.Model.Status().Clients) == 0 })
	if err := n.SetMIG(t.Context(), 1, true); err != nil {
		t.Error(err)
	}
}

// A GPU that hangs blocks calls to it and no others, until it is let go.
func TestHang(t *testing.T) {
	n := sim.New(t, sim.Options{Shape: "dgx-a100"})
	a, b := newShell(t, n), newShell(t, n)
	a.is(t, "init", "0")
	if err := n.Hang(t.Context(), 2, true); err != nil {
		t.Fatal(err)
	}
	stuck := []<-chan string{a.start(t, "lookup 2"), b.start(t, "init")}
	time.Sleep(50 * time.Millisecond)
	a.is(t, "count", "0 8")
	for _, c := range stuck {
		select {
		case got := <-c:
			t.Errorf("a call to a hung GPU answers %q", got)
		default:
		}
	}
	if err := n.Unhang(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	for _, c := range stuck {
		ended(t, c, "a stuck call", "0")
	}
	b.is(t, "count", "0 8")
}

// The driver's side dies and comes back: clients never crash, find their session gone, and start a new one.
func TestRestart(t *testing.T) {
	n := sim.New(t, sim.Options{Shape: "dgx-a100"})
	a := newShell(t, n)
	a.is(t, "init", "0")
	a.is(t, "watch 0", "0")
	if err := n.SlowCalls(t.Context(), model.LatencyFault{Call: "nvmlDeviceGetUUID", GPU: -1, Delay: 50 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	var slow []<-chan string
	for range 8 { // each on a connection of its own, which the pool keeps
		slow = append(slow, a.start(t, "uuid 0"))
	}
	for _, c := range slow {
		ended(t, c, "uuid", "0")
	}
	waiting := a.start(t, "wait 100000")
	time.Sleep(50 * time.Millisecond)
	if err := n.Halt(); err != nil {
		t.Fatal(err)
	}
	ended(t, waiting, "wait", "15")
	a.is(t, "count", "999")
	b := newShell(t, n)
	b.is(t, "init", "9")
	if err := n.Serve(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.is(t, "count", "1") // uninitialised
	a.is(t, "wait 1", "1")
	a.is(t, "init", "0")
	a.is(t, "count", "0 8")
	b.is(t, "init", "0")
	b.is(t, "count", "0 8")
	if err := n.LoadDriver(t.Context(), "580.65.06"); err != nil {
		t.Fatal(err)
	}
	a.is(t, "count", "1")
	a.is(t, "init", "18") // its library is the old driver's
	eventually(t, "the new library is in place", func() bool {
		c := newShell(t, n)
		return <-c.start(t, "init") == "0 <nil>"
	})
	if err := n.UnloadDriver(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	newShell(t, n).is(t, "init", "9")
}

// GPM through the library, in real time, with the names of the metrics.
func TestGpm(t *testing.T) {
	n := sim.New(t, sim.Options{Shape: "hgx-h100"})
	if err := n.SetLoad(t.Context(), sim.Whole(0), model.Load{Kind: "constant", Level: 40}); err != nil {
		t.Fatal(err)
	}
	a := newShell(t, n)
	a.is(t, "init", "0")
	a.is(t, "sample 0", "0")
	time.Sleep(100 * time.Millisecond)
	a.is(t, "sample 1", "0")
	a.is(t, "metrics", "0 40% SM Util MiB/s")
}

// Many threads of one process call at the same time, on more connections than the pool keeps.
func TestThreads(t *testing.T) {
	n := sim.New(t, sim.Options{Shape: "dgx-a100"})
	a := newShell(t, n)
	a.is(t, "init", "0")
	uuids := map[int]string{}
	for i, g := range n.Model.Status().GPUs {
		uuids[i] = g.UUID
	}
	for range 3 {
		var all []<-chan string
		for i := range 200 {
			all = append(all, a.start(t, fmt.Sprintf("uuid %d", i%8)))
		}
		for i, c := range all {
			ended(t, c, "uuid", "0 "+uuids[i%8])
		}
	}
	if c := n.Model.Status().Clients; len(c) != 1 {
		t.Errorf("one process is %d clients", len(c))
	}
}
