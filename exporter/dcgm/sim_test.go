package dcgm

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/exporter/sourcetest"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// simLibrary is a make of the simulated libdcgm.
func simLibrary(t *testing.T, node *sim.Node, variant string) string {
	t.Helper()
	dir, err := node.DCGMLibrary(t.Context(), variant)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, soname)
}

// allFields are those of the table.
func allFields() (out []gpu.Field) {
	for _, f := range family.Table() {
		out = append(out, f.Field)
	}
	return out
}

// simulated runs a Client with the true worker above go-dcgm and the simulated library.
func simulated(t *testing.T, node *sim.Node, cfg Config) *Client {
	t.Helper()
	if cfg.Library == "" {
		cfg.Library = simLibrary(t, node, "")
	}
	if len(cfg.Command) == 0 {
		cfg.Command = worker("work")
	}
	return running(t, cfg)
}

// readFrom answers as a source does, from the newest batch.
func readFrom(c *Client) sourcetest.Read {
	return func(_ context.Context, uuid gpu.UUID, ask gpu.Ask) (out []gpu.Reading, err error) {
		b, _ := c.Batches().Get()
		for _, r := range b.Readings {
			of := slices.ContainsFunc(ask.Instances, func(i gpu.InstanceRef) bool { return i.ID == r.Entity.Instance })
			switch {
			case r.Entity.GPU != uuid:
			case r.Entity.Instance == gpu.NoInstance && slices.Contains(ask.Whole, r.Field), of && slices.Contains(ask.Instance, r.Field):
				out = append(out, r)
			}
		}
		return out, nil
	}
}

// DCGM tells what is true of a node, whether its engine is in the worker or elsewhere, and of its own profiling before Hopper too.
func TestConformance(t *testing.T) {
	for _, c := range []struct {
		name, shape, driver, variant, engine, tcp string
		lacks                                     []gpu.Field
	}{
		{name: "embedded", shape: "hgx-h100", driver: "580.65.06"},
		{name: "host engine", shape: "hgx-h100", driver: "580.65.06", engine: "4.6.1"},
		{name: "host engine through DCGM 4.4", shape: "hgx-h100", driver: "580.65.06", engine: "4.4.2", variant: "4.4"},
		{name: "host engine by TCP", shape: "hgx-h100", driver: "580.65.06", engine: "4.6.1", tcp: "tcp://"},
		{name: "host engine by host and port", shape: "hgx-h100", driver: "580.65.06", engine: "4.6.1", tcp: "+"},
		{name: "profiled before Hopper", shape: "dgx-a100", driver: "550.54.15", lacks: []gpu.Field{family.Recovery}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			node := sim.New(t, sim.Options{Shape: c.shape, Driver: c.driver, HostEngine: c.engine})
			stage := sourcetest.Set(t, node)
			cfg := Config{Library: simLibrary(t, node, c.variant), Fast: time.Second}
			if c.engine != "" {
				cfg.Host = "unix://" + node.EngineSocket()
			}
			if c.tcp != "" {
				address, err := node.EngineAddress()
				if err != nil {
					t.Fatal(err)
				}
				cfg.Host = strings.TrimPrefix(c.tcp, "+") + address
			}
			client := simulated(t, node, cfg)
			client.Want(allFields())
			within(t, client, 30*time.Second, "up", up)
			stage.Run(t, readFrom(client), sourcetest.Options{Profiling: true, Lacks: c.lacks, Settle: 20 * time.Second})
		})
	}
}

// find1 finds one reading in a batch.
func find1(b *Batch, e gpu.Entity, f gpu.Field) *gpu.Reading {
	for i := range b.Readings {
		if r := &b.Readings[i]; r.Entity == e && r.Field == f {
			return r
		}
	}
	return nil
}

func firstGPU(t *testing.T, node *sim.Node) gpu.Entity {
	t.Helper()
	s, err := node.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return gpu.UUID(s.GPUs[0].UUID).Whole()
}

func fresh(e gpu.Entity, f gpu.Field, age time.Duration) func(*Batch) bool {
	return func(b *Batch) bool {
		r := find1(b, e, f)
		return b.State.Up && r != nil && r.Absent == nil && time.Since(r.At) < age
	}
}

// A host engine that is killed ages its values; a newer one in its place is found by the same worker.
func TestEngineRestart(t *testing.T) {
	t.Parallel()
	node := sim.New(t, sim.Options{Shape: "hgx-h100", HostEngine: "4.5.2"})
	e := firstGPU(t, node)
	c := simulated(t, node, Config{Host: "unix://" + node.EngineSocket()})
	got, _ := within(t, c, 30*time.Second, "up", fresh(e, 155, time.Second))
	if got.State.Host != "4.5.2" || got.State.Version != "4.6.1" {
		t.Errorf("%+v", got.State)
	}
	if err := node.StopEngine(t.Context()); err != nil {
		t.Fatal(err)
	}
	within(t, c, 10*time.Second, "down", func(b *Batch) bool { return !b.State.Up && b.State.Code == gpu.NoSource })
	if got, _ := c.Batches().Get(); find1(got, e, 155) == nil {
		t.Error("the last value is gone before it is old")
	}
	if err := node.StartEngine(t.Context(), "4.6.1"); err != nil {
		t.Fatal(err)
	}
	got, took := within(t, c, 30*time.Second, "up again", fresh(e, 155, time.Second))
	if got.State.Restarts != 0 || got.State.Reconnects == 0 || got.State.Host != "4.6.1" {
		t.Errorf("after %s: %+v", took, got.State)
	}
}
