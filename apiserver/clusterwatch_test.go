package apiserver

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func waitingPod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: asks(slice, "1")}}}},
		Status:     corev1.PodStatus{Phase: corev1.PodPending},
	}
}

func aNode(name string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"zone": "a"}},
		Status:     corev1.NodeStatus{Allocatable: asks("cpu", "8", whole, "8")},
	}
}

// viewer keeps what a watch tells.
type viewer struct {
	mu    sync.Mutex
	views []*ClusterView
	times []time.Time
	stop  func() error
}

func view(t testing.TB, f *Fleet) *viewer {
	v := &viewer{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- f.Watch(ctx, func(c *ClusterView) {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.views, v.times = append(v.views, c), append(v.times, time.Now())
		})
	}()
	v.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = v.stop() })
	return v
}

func (v *viewer) last() *ClusterView {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.views) == 0 {
		return nil
	}
	return v.views[len(v.views)-1]
}

// shows waits for a view, and gives it.
func (v *viewer) shows(t testing.TB, what string, ok func(*ClusterView) bool) *ClusterView {
	t.Helper()
	eventually(t, what, func() bool { c := v.last(); return c != nil && ok(c) })
	return v.last()
}

func TestTheClusterIsFollowed(t *testing.T) {
	for name, asJSON := range map[string]bool{"protobuf": false, "JSON": true} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.json = asJSON
			f := fleetOf(t, s.client(Config{}))
			for i := range 1100 { // three pages
				s.put(aNode(fmt.Sprintf("n%04d", i)))
			}
			s.put(waitingPod("a"))
			bound := waitingPod("bound")
			bound.Spec.NodeName = "n1"
			s.put(bound)
			plain := waitingPod("plain")
			plain.Spec.Containers[0].Resources.Requests = asks("cpu", "1")
			s.put(plain)
			if err := f.WriteReport(t.Context(), []byte("{}")); err != nil {
				t.Fatal(err)
			}
			if err := f.WriteDemand(t.Context(), "n2", []byte("{}")); err != nil { // is not a report
				t.Fatal(err)
			}
			v := view(t, f)
			first := v.shows(t, "everything", func(c *ClusterView) bool { return c.Synced })
			if len(first.Nodes) != 1100 ||
				!slices.Equal(slices.Collect(maps.Keys(first.Pods)), []types.UID{"u-a"}) || len(first.Reports) != 1 || string(first.Reports["n1"].Data) != "{}" {
				t.Fatalf("%d nodes, pods %v, reports %v", len(first.Nodes), first.Pods, first.Reports)
			}
			a := waitingPod("a")
			a.Spec.NodeName = "n1" // the scheduler found a node
			s.put(a)
			next := v.shows(t, "a is bound", func(c *ClusterView) bool { return len(c.Pods) == 0 })
			if next.Nodes["n0001"] != first.Nodes["n0001"] || next.Reports["n1"] != first.Reports["n1"] {
				t.Error("what did not change is not shared")
			}
			b := waitingPod("b")
			s.put(b)
			v.shows(t, "b waits", func(c *ClusterView) bool { return c.Pods["u-b"] != nil })
			cordoned := aNode("n0001")
			cordoned.Spec.Unschedulable = true
			s.put(cordoned)
			now := v.shows(t, "the cordon", func(c *ClusterView) bool { return c.Nodes["n0001"].Unschedulable })
			if now.Nodes["n0002"] != first.Nodes["n0002"] || first.Nodes["n0001"].Unschedulable {
				t.Error("a view changed, or a node that did not is not shared")
			}
			s.drop("nodes", "n0001")
			s.drop("configmaps", documentName("report", "n1"))
			v.shows(t, "both are gone", func(c *ClusterView) bool { return len(c.Nodes) == 1099 && len(c.Reports) == 0 })
			if err := v.stop(); err == nil {
				t.Error("no error")
			}
		})
	}
}

// Changes that mean nothing to a planner are not told, and a burst of changes is told in few views.
func TestViewsAreFew(t *testing.T) {
	s := newServer(t)
	f := fleetOf(t, s.client(Config{}))
	s.put(aNode("n1"))
	v := view(t, f)
	node := v.shows(t, "the node", func(c *ClusterView) bool { return len(c.Nodes) == 1 }).Nodes["n1"]
	for i := range 300 {
		beat := aNode("n1") // the kubelet's heartbeat
		beat.Status.Conditions = []corev1.NodeCondition{{Type: "Other", Message: strconv.Itoa(i)}}
		s.put(beat)
	}
	s.put(waitingPod("end"))
	if c := v.shows(t, "the pod", func(c *ClusterView) bool { return len(c.Pods) == 1 }); c.Nodes["n1"] != node {
		t.Error("a node is new that says the same")
	}
	for i := range 500 {
		s.put(waitingPod(fmt.Sprint("p", i)))
	}
	v.shows(t, "all pods", func(c *ClusterView) bool { return len(c.Pods) == 501 })
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range v.times[1:] {
		if apart := v.times[i+1].Sub(v.times[i]); apart < viewsApart-time.Millisecond {
			t.Errorf("views are %s apart", apart)
		}
	}
}

// A planner that lost its watch does not take old reports for new ones.
func TestTheTimeOfAReportOutlivesAWatch(t *testing.T) {
	s := newServer(t)
	f := fleetOf(t, s.client(Config{}))
	write := func(text string) {
		t.Helper()
		if err := f.WriteReport(t.Context(), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	write("1")
	v := view(t, f)
	came := v.shows(t, "the report", func(c *ClusterView) bool { return len(c.Reports) == 1 }).Reports["n1"].Received
	s.stop()
	if err := v.stop(); err == nil || strings.Contains(err.Error(), "no server") {
		t.Errorf("error %v", err)
	}
	s.start()
	again := view(t, f).shows(t, "the report again", func(c *ClusterView) bool { return len(c.Reports) == 1 })
	if got := again.Reports["n1"].Received; !got.Equal(came) {
		t.Errorf("it came at %s, then at %s", came, got)
	}
	write("2")
	w := view(t, f)
	next := w.shows(t, "another", func(c *ClusterView) bool { return len(c.Reports) == 1 && string(c.Reports["n1"].Data) == "2" })
	if !next.Reports["n1"].Received.After(came) {
		t.Error("a new report is as old as the last one")
	}
}

func TestAWatchThatBreaksSaysSo(t *testing.T) {
	s := newServer(t)
	f := fleetOf(t, s.client(Config{}))
	done := make(chan error, 1)
	synced := make(chan struct{}, 1)
	go func() { done <- f.Watch(context.Background(), func(*ClusterView) { synced <- struct{}{} }) }()
	<-synced
	s.stop()
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), "the cluster's ") {
			t.Errorf("error %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it goes on without a server")
	}
}
