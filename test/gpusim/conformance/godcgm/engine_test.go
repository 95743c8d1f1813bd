package godcgm

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/NVIDIA/go-dcgm/pkg/dcgm"

	engine "github.com/gpulet/gpulet/test/gpusim/dcgm"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// A host engine is reached over its unix socket and over TCP, as two words and as one. When it dies, calls tell a lost connection
// until the program connects again; watches are gone then, and the version is the new one's.
func TestHostEngine(t *testing.T) {
	n := sim.New(t, sim.Options{Shape: "hgx-h100", HostEngine: "4.5.2"})
	address, err := n.EngineAddress()
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{n.EngineSocket(), "1"}, {"unix://" + n.EngineSocket()}, {address, "0"}, {"tcp://" + address}} {
		p := newProgram(t, n, "")
		p.do(request{Call: "standalone", Args: args})
		if v := p.do(request{Call: "host-version"}).Text; !strings.Contains(v, "version:4.5.2") {
			t.Errorf("%v: %s", args, v)
		}
		p.do(request{Call: "cleanup"})
		p.end()
	}
	p := newProgram(t, n, "")
	connect := request{Call: "standalone", Args: []string{n.EngineSocket(), "1"}}
	p.do(connect)
	p.do(request{Call: "watch", Group: -1, Period: 50 * time.Millisecond, Fields: []dcgm.Short{150}})
	if v := p.one(gpu(0), 150); v.Status != 0 {
		t.Errorf("%+v", v)
	}
	if a, _ := p.try(request{Call: "watch", Group: -1, Period: time.Second, Fields: []dcgm.Short{1085}}); a.Error == "" {
		t.Error("DCGM 4.5 knows a field of 4.6")
	}
	if err := n.StopEngine(t.Context()); err != nil {
		t.Fatal(err)
	}
	read := request{Call: "values", Entities: gpu(0), Fields: []dcgm.Short{150}}
	if a, ok := p.try(read); !ok || a.Code != -21 {
		t.Errorf("after the engine died: %+v", a)
	}
	if err := n.StartEngine(t.Context(), "4.6.1"); err != nil {
		t.Fatal(err)
	}
	if a, ok := p.try(read); !ok || a.Code != -21 {
		t.Errorf("a new engine does not know the old connection: %+v", a)
	}
	p.do(request{Call: "cleanup"})
	p.do(connect)
	if v := p.one(gpu(0), 150); v.Status != -16 {
		t.Errorf("a watch outlives its engine: %+v", v)
	}
	if v := p.do(request{Call: "host-version"}).Text; !strings.Contains(v, "version:4.6.1") {
		t.Error(v)
	}
	p.do(request{Call: "watch", Group: -1, Period: time.Second, Fields: []dcgm.Short{1085}})
}

// Without an engine a program cannot connect, and without a driver DCGM knows no GPU.
func TestAbsent(t *testing.T) {
	n := sim.New(t, sim.Options{Shape: "hgx-h100"})
	p := newProgram(t, n, "")
	if a, ok := p.try(request{Call: "standalone", Args: []string{n.EngineSocket(), "1"}}); !ok || a.Error == "" {
		t.Errorf("%+v", a)
	}
	if err := n.UnloadDriver(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	p.do(request{Call: "embedded"})
	if a, _ := p.try(request{Call: "gpus"}); a.Code != -56 {
		t.Errorf("without a driver: %+v", a)
	}
	if err := n.LoadDriver(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	p.do(request{Call: "attach"})
	if ids := p.do(request{Call: "gpus"}).IDs; len(ids) != 8 {
		t.Error(ids)
	}
}

// A library of another make lacks functions: connection strings before 4.5 give an error, and a missing function ends the process.
func TestLibraries(t *testing.T) {
	n := sim.New(t, sim.Options{Shape: "hgx-h100", HostEngine: "4.4.2"})
	old := newProgram(t, n, "4.4")
	if a, ok := old.try(request{Call: "standalone", Args: []string{"unix://" + n.EngineSocket()}}); !ok || !strings.Contains(a.Error, "dcgmConnect_v3") {
		t.Errorf("%+v", a)
	}
	old.do(request{Call: "standalone", Args: []string{n.EngineSocket(), "1"}})
	if v := old.do(request{Call: "version"}).Text; !strings.Contains(v, "version:4.4.2") {
		t.Error(v)
	}
	if a, _ := old.try(request{Call: "field", Fields: []dcgm.Short{1085}}); a.Meta.FieldID == 1085 {
		t.Errorf("%+v", a.Meta)
	}
	broken := newProgram(t, n, "broken")
	broken.do(request{Call: "embedded"})
	if a, ok := broken.try(request{Call: "values", Entities: gpu(0), Fields: []dcgm.Short{150}}); ok {
		t.Errorf("the process survives a missing function: %+v", a)
	}
}

// Faults: values that stand still, that are blank with status OK, calls that hang, are slow, leak, or kill the process.
func TestFaults(t *testing.T) {
	n, p := embedded(t, sim.Options{Shape: "hgx-h100"})
	watch := request{Call: "watch", Group: -1, Period: 20 * time.Millisecond, Fields: []dcgm.Short{150, 203}}
	p.do(watch)
	fail := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	fail(n.FailDCGMField(ctx, engine.FieldFault{Field: 203, GPU: 0, Kind: "stale"}))
	p.do(request{Call: "update"})
	stuck := p.one(gpu(0), 203)
	p.soon(gpu(1), 203, "a new sample", func(v value) bool { return v.TS > stuck.TS+50_000 })
	if v := p.one(gpu(0), 203); v.TS != stuck.TS || v.Status != 0 {
		t.Errorf("a stale value: %+v, before %+v", v, stuck)
	}
	fail(n.ClearDCGM(ctx))
	p.soon(gpu(0), 203, "a new sample", func(v value) bool { return v.TS > stuck.TS })

	fail(n.FailDCGMField(ctx, engine.FieldFault{Field: 150, GPU: -1, Kind: "blank", Blank: engine.BlankNotSupported}))
	if v := p.one(gpu(3), 150); v.Status != 0 || v.Int != blankNotSupported || time.Since(time.UnixMicro(v.TS)).Abs() > time.Minute {
		t.Errorf("a blank value: %+v", v)
	}
	fail(n.FailDCGMField(ctx, engine.FieldFault{Field: 203, GPU: 3, Kind: "status", Status: engine.StaleData}))
	if v, other := p.one(gpu(3), 203), p.one(gpu(2), 203); v.Status != -15 || v.TS == 0 || other.Status != 0 {
		t.Errorf("a value with a status: %+v, another GPU's %+v", v, other)
	}
	fail(n.FailDCGM(ctx, engine.Fault{Call: "dcgmUpdateAllFields", Kind: "fail", Code: -54, Times: 1}))
	if a, _ := p.try(request{Call: "update"}); a.Error != "Paused" {
		t.Errorf("%+v", a)
	}
	fail(n.FailDCGM(ctx, engine.Fault{Call: "dcgmUpdateAllFields", Kind: "slow", Delay: 100 * time.Millisecond}))
	from := time.Now()
	p.do(request{Call: "update"})
	if took := time.Since(from); took < 100*time.Millisecond {
		t.Errorf("a slow call takes %v", took)
	}
	fail(n.ClearDCGM(ctx))
	before := p.do(request{Call: "memory"}).Number
	fail(n.FailDCGM(ctx, engine.Fault{Call: "dcgmUpdateAllFields", Kind: "leak", MiB: 64}))
	p.do(request{Call: "update"})
	if after := p.do(request{Call: "memory"}).Number; after-before < 60<<10 {
		t.Errorf("from %v KiB to %v KiB", before, after)
	}
	fail(n.ClearDCGM(ctx))
	fail(n.FailDCGM(ctx, engine.Fault{Call: "dcgmEntitiesGetLatestValues", Kind: "hang"}))
	hung := make(chan bool, 1)
	go func() {
		_, ok := p.try(request{Call: "values", Entities: gpu(0), Fields: []dcgm.Short{150}})
		hung <- ok
	}()
	select {
	case <-hung:
		t.Error("a hanging call gives an answer")
	case <-time.After(100 * time.Millisecond):
	}
	fail(n.ClearDCGM(ctx))
	if !<-hung {
		t.Error("a call that hung does not go on")
	}
	for _, kind := range []string{"abort", "segfault"} {
		fail(n.FailDCGM(ctx, engine.Fault{Call: "*", Kind: kind}))
		if a, ok := newProgram(t, n, "").try(request{Call: "embedded"}); ok {
			t.Errorf("%s at the start: the process lives and has %+v", kind, a)
		}
		if a, ok := p.try(request{Call: "gpus"}); ok {
			t.Errorf("%s: the process lives and has %+v", kind, a)
		}
		p = newProgram(t, n, "")
		fail(n.ClearDCGM(ctx))
		p.do(request{Call: "embedded"})
	}
	fail(n.FailDCGM(ctx, engine.Fault{Call: "dcgmStartEmbedded", Kind: "fail", Code: -7}))
	if a, ok := newProgram(t, n, "").try(request{Call: "embedded"}); !ok || a.Error == "" {
		t.Errorf("a start that fails: %+v", a)
	}
}

// A driver that hangs on one GPU makes values stand still and an update wait, and what was sampled stays to be read. A lost GPU says so.
func TestDriverTrouble(t *testing.T) {
	n, p := embedded(t, sim.Options{Shape: "hgx-h100"})
	p.do(request{Call: "watch", Group: -1, Period: 20 * time.Millisecond, Fields: []dcgm.Short{150}})
	if err := n.SetLost(t.Context(), 2, true); err != nil {
		t.Fatal(err)
	}
	p.soon(gpu(2), 150, "a lost GPU", func(v value) bool { return v.Status == -18 })
	if v := p.one(gpu(1), 150); v.Status != 0 {
		t.Errorf("the others: %+v", v)
	}
	if err := n.Hang(t.Context(), 3, false); err != nil {
		t.Fatal(err)
	}
	last := p.one(gpu(1), 150)
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		time.Sleep(60 * time.Millisecond)
		next := p.one(gpu(1), 150)
		if next.TS == last.TS {
			break
		}
		last = next
	}
	if v := p.one(gpu(1), 150); v.TS != last.TS || v.Status != 0 {
		t.Errorf("values move while the driver hangs: %+v", v)
	}
	if err := n.Unhang(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	p.soon(gpu(1), 150, "a new sample", func(v value) bool { return v.TS > last.TS })
}

// A program that dies leaves nothing: its engine lets go of the GPUs.
func TestDeath(t *testing.T) {
	n, p := embedded(t, sim.Options{Shape: "dgx-a100"})
	p.do(request{Call: "watch", Group: -1, Period: time.Second, Fields: []dcgm.Short{150}})
	p.end()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		s, err := n.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(s.GPUs[0].Holders) == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal(s.GPUs[0].Holders)
		}
	}
}

// What DCGM does not serve, it refuses: the socket of another protocol's client is closed.
func TestNonsense(t *testing.T) {
	n := sim.New(t, sim.Options{Shape: "hgx-h100", HostEngine: "4.6.1"})
	address, err := n.EngineAddress()
	if err != nil {
		t.Fatal(err)
	}
	c, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Write([]byte("\x10\x00\x00\x00GET / HTTP/1.1\r\n")); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if k, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes", k)
	}
}
