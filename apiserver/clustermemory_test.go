package apiserver

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// bigNode is as large as those of a cloud: labels, conditions and images.
func bigNode(i int) *corev1.Node {
	n := aNode(fmt.Sprintf("node-%05d.region.example.com", i))
	for l := range 30 {
		n.Labels[fmt.Sprintf("feature.node.example.com/some-feature-%d", l)] = "a-value-of-it"
	}
	n.Labels["kubernetes.io/hostname"] = n.Name
	for r := range 8 {
		n.Status.Allocatable[corev1.ResourceName(fmt.Sprintf("nvidia.com/mig-%dg.10gb", r))] = n.Status.Allocatable[whole]
	}
	for image := range 50 {
		n.Status.Images = append(n.Status.Images, corev1.ContainerImage{Names: []string{strings.Repeat("i", 100), strconv.Itoa(image)}})
	}
	return n
}

// What a planner keeps of 5,000 nodes with reports of 4 KiB, and of 1,000 pods, is about 41 MiB: see the benchmark, which is of all;
// the test is of a fifth.
func TestMemoryOfALargeCluster(t *testing.T) {
	if kept := keptOf(t, 1000, 200); kept > 13<<20 {
		t.Errorf("%d KiB are kept of 1,000 nodes", kept>>10)
	}
}

func BenchmarkLargeCluster(b *testing.B) {
	for b.Loop() {
		b.ReportMetric(float64(keptOf(b, 5000, 1000))/(1<<20), "MiB-kept")
	}
}

// keptOf is how much memory a watch of a cluster keeps.
func keptOf(t testing.TB, nodes, pods int) int64 {
	s := newServer(t)
	f := fleetOf(t, s.client(Config{}))
	report := []byte(`{"x":"` + strings.Repeat("r", 4000) + `"}`)
	add := func(o stored) { // nobody watches yet
		o.SetResourceVersion("1")
		o.SetUID(types.UID("u-" + o.GetName()))
		s.stored[kindOf(o)+"/"+o.GetName()] = o
	}
	s.do(func() {
		for i := range nodes {
			n := bigNode(i)
			add(n)
			add(f.document(writeReport, n.Name, report))
		}
		for i := range pods {
			add(waitingPod(fmt.Sprint("p", i)))
		}
	})
	before := heap()
	v := view(t, f)
	full := v.shows(t, "all", func(c *ClusterView) bool {
		return len(c.Nodes) == nodes && len(c.Reports) == nodes && len(c.Pods) == pods
	})
	kept := heap() - before
	runtime.KeepAlive(full)
	if err := v.stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	s.stop()
	return kept
}

// heap is what is alive.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
