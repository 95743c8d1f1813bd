package conformance

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/dl"
	nv "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// stopped is a clock that stands until it is moved, so that both sides measure the same.
type stopped struct {
	mu  sync.Mutex
	now time.Time
}

func (c *stopped) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *stopped) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func deviceRows() []row {
	var out []row
	for _, rows := range [][]row{identityRows(), stateRows(), measureRows(), linkRows(), fieldRows(), profileRows()} {
		out = append(out, rows...)
	}
	return out
}

// TestChildCompare asks through go-nvml and prints the answers.
func TestChildCompare(t *testing.T) {
	path := ofChild(t)
	library := dl.New(path, dl.RTLD_LAZY)
	if err := library.Open(); err != nil {
		t.Fatal(err)
	}
	nvml := nv.New(nv.WithLibraryPath(path))
	if ret := nvml.Init(); ret != nv.SUCCESS {
		t.Fatal(ret)
	}
	ask := func(of string, rows []row, d nv.Device) {
		for _, r := range rows {
			text := missing
			for _, symbol := range r.symbols() {
				if library.Lookup(symbol) == nil {
					v, ret := r.real(d)
					text = answer(v, int32(ret))
					break
				}
			}
			fmt.Printf("answer|%s|%s|%s\n", of, r.name, text)
		}
	}
	ask("node", systemRows(nvml), nil)
	count, _ := nvml.DeviceGetCount()
	for i := range count {
		d, ret := nvml.DeviceGetHandleByIndex(i)
		if ret != nv.SUCCESS {
			t.Fatal(ret)
		}
		ask(fmt.Sprintf("GPU %d", i), deviceRows(), d)
		for k := 0; ; k++ {
			mig, ret := d.GetMigDeviceHandleByIndex(k)
			if ret != nv.SUCCESS {
				break
			}
			ask(fmt.Sprintf("GPU %d MIG %d", i, k), deviceRows(), mig)
		}
	}
	d, _ := nvml.DeviceGetHandleByIndex(1)
	ask("script", script(), d)
}

// expected plays the same on a twin of the node.
func expected(t *testing.T, n *model.Node, branch model.Branch) (out []string) {
	c := n.Connect(model.Caller{PID: 1, UID: 0})
	defer c.Close()
	s := side{ctx: t.Context(), client: c, branch: branch}
	if ret := c.InitWithFlags(s.ctx, 0); ret != model.Success {
		t.Fatal(ret)
	}
	ask := func(of string, rows []row, d model.Device) {
		for _, r := range rows {
			text := missing
			for _, symbol := range r.symbols() {
				if branch.HasSymbol(symbol) {
					v, ret := r.sim(side{model.WithSymbol(s.ctx, symbolFor(r, symbol)), c, branch}, d)
					text = answer(v, int32(ret))
					break
				}
			}
			out = append(out, fmt.Sprintf("answer|%s|%s|%s", of, r.name, text))
		}
	}
	ask("node", systemRows(nv.New()), 0)
	count, _ := c.DeviceGetCount(s.ctx)
	for i := range count {
		d, _ := c.DeviceGetHandleByIndex(s.ctx, i)
		ask(fmt.Sprintf("GPU %d", i), deviceRows(), d)
		for k := uint32(0); ; k++ {
			mig, ret := c.DeviceGetMigDeviceHandleByIndex(s.ctx, d, k)
			if ret != model.Success {
				break
			}
			ask(fmt.Sprintf("GPU %d MIG %d", i, k), deviceRows(), mig)
		}
	}
	d, _ := c.DeviceGetHandleByIndex(s.ctx, 1)
	ask("script", script(), d)
	return out
}

// symbolFor names the call only where the choice matters: rows of several calls would lose their names.
func symbolFor(r row, symbol string) string {
	if strings.Contains(r.symbol, "|") {
		return symbol
	}
	return ""
}

// prepare makes a node worth asking: instances, loads, processes, errors.
func prepare(t *testing.T, n *model.Node, clock *stopped) {
	t.Helper()
	do := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	twin := sim.Node{Model: n}
	ctx := t.Context()
	do(n.SetLoad(model.WholeGPU(1), model.Load{Kind: "constant", Level: 63}))
	_, err := n.StartProcess(model.WholeGPU(1), model.ProcessSpec{PID: 4242, Name: "train", Memory: 3 << 30, SM: 50})
	do(err)
	do(n.InjectECC(1, model.EccFault{Uncorrected: true, Location: model.EccDevice, Count: 3}))
	do(n.InjectECC(1, model.EccFault{Location: model.EccDevice, Count: 11}))
	if err := twin.SetMIG(ctx, 0, true); err == nil {
		for _, p := range []string{"3g", "2g", "1g"} {
			for _, full := range profiles(ctx, n) {
				if strings.HasPrefix(full, p+".") && !strings.Contains(full, "+") {
					_, _, err := twin.CreateInstance(ctx, 0, full, nil)
					do(err)
					break
				}
			}
		}
		_, err = n.StartProcess(model.Target{GPU: 0, GI: n.Status().GPUs[0].Instances[0].GI, CI: model.NoInstance}, model.ProcessSpec{PID: 4243, Memory: 1 << 30})
		do(err)
	}
	clock.move(time.Hour)
	do(n.EndProcess(4242))
	clock.move(time.Minute)
}

// counts are what a comparison covered.
type counts struct{ calls, errors int }

// compare asks a node of that driver through go-nvml, and its twin itself.
func compare(t *testing.T, shape, driver string) counts {
	branch := model.BranchOf(driver)
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	clock, other := &stopped{now: start}, &stopped{now: start}
	n := sim.New(t, sim.Options{Shape: shape, Driver: driver, Clock: clock, Seed: 7})
	hardware, err := sim.LoadShape(shape)
	if err != nil {
		t.Fatal(err)
	}
	twin, err := model.New(hardware, model.Options{Driver: driver, Clock: other, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	prepare(t, n.Model, clock)
	prepare(t, twin, other)
	want := expected(t, twin, branch)
	var got []string
	for line := range strings.Lines(child(t, "TestChildCompare", n.Library())) {
		if strings.HasPrefix(line, "answer|") {
			got = append(got, strings.TrimSuffix(line, "\n"))
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d answers, want %d", len(got), len(want))
	}
	values, refused, absent := 0, 0, 0
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Errorf("library %s\n  model %s", got[i], want[i])
		}
		switch {
		case strings.Contains(want[i], "|error "):
			refused++
		case strings.HasSuffix(want[i], "|"+missing):
			absent++
		default:
			values++
		}
	}
	t.Logf("%d values, %d errors, %d functions that the branch lacks", values, refused, absent)
	return counts{values + refused, refused}
}
