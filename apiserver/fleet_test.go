package apiserver

import (
	"context"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// fleetOf is the part of a client that speaks for the cluster's planner.
func fleetOf(t testing.TB, c *Client) *Fleet {
	t.Helper()
	f, err := c.Fleet(FleetConfig{Namespace: "gpulet"})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A demand that one agent writes reaches the agent of that node, and so does its end.
func TestDemandReachesItsNode(t *testing.T) {
	s := newServer(t)
	c := s.client(Config{})
	f := fleetOf(t, c)
	node := c.cfg.Node
	for _, text := range []string{`{"n":1}`, `{"n":2}`} {
		if err := f.WriteDemand(t.Context(), node, []byte(text)); err != nil {
			t.Fatal(err)
		}
		cm := get[*corev1.ConfigMap](s, "configmaps", documentName("demand", node))
		if cm == nil || cm.Data[documentKey("demand")] != text {
			t.Fatalf("written is %v, not %s", cm, text)
		}
	}
	all, err := f.ReadDemands(t.Context())
	if err != nil || len(all) != 1 || string(all[node].Data) != `{"n":2}` {
		t.Errorf("read are %v, %v", all, err)
	}
	var last atomic.Pointer[string]
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- f.WatchDemand(ctx, func(d *Document) {
			text := "none"
			if d != nil {
				text = string(d.Data)
			}
			last.Store(&text)
		})
	}()
	told := func(want string) {
		t.Helper()
		eventually(t, "the demand "+want, func() bool { p := last.Load(); return p != nil && *p == want })
	}
	told(`{"n":2}`)
	cm := get[*corev1.ConfigMap](s, "configmaps", documentName("demand", node)).DeepCopy()
	cm.Data[documentKey("demand")] = `{"n":3}`
	s.put(cm)
	told(`{"n":3}`)
	s.drop("configmaps", cm.Name)
	told("none")
	cancel()
	if err := <-done; err == nil {
		t.Error("the watch ended without a reason")
	}
}

// One agent plans at a time, and when it leaves another takes over.
func TestOneLeads(t *testing.T) {
	s := newServer(t)
	var leading, most atomic.Int32
	lead := func(ctx context.Context) error {
		if n := leading.Add(1); n > most.Load() {
			most.Store(n)
		}
		<-ctx.Done()
		leading.Add(-1)
		return nil
	}
	first, leave := context.WithCancel(t.Context())
	second, end := context.WithCancel(t.Context())
	done := make(chan error, 2)
	a, b := fleetOf(t, s.client(Config{})), fleetOf(t, s.client(Config{}))
	go func() { done <- a.Lead(first, lead) }()
	eventually(t, "a leader", func() bool { return leading.Load() == 1 })
	var took atomic.Bool
	go func() {
		done <- b.Lead(second, func(ctx context.Context) error { took.Store(true); return lead(ctx) })
	}()
	leave()
	eventually(t, "the other one's turn", took.Load)
	end()
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if most.Load() != 1 {
		t.Errorf("%d led at once", most.Load())
	}
}
