package apiserver

import (
	"fmt"
	"hash/maphash"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	"pgregory.net/rapid"
)

// Whatever a node is called, its documents have names and labels that the API server takes, and no two nodes share one.
func TestDocumentsOfLongNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?){0,4}`).
			Filter(func(s string) bool { return len(s) <= maxName }).Draw(t, "node")
		f := &Fleet{client: &Client{cfg: Config{Node: "n1"}, node: &node{}}, came: map[string]arrival{}, seed: maphash.MakeSeed()}
		cm := f.document(writeReport, name, nil)
		if errs := validation.IsDNS1123Subdomain(cm.Name); len(errs) > 0 {
			t.Errorf("name %q: %v", cm.Name, errs)
		}
		for k, v := range cm.Labels {
			if errs := append(validation.IsValidLabelValue(v), validation.IsQualifiedName(k)...); len(errs) > 0 {
				t.Errorf("label %s=%q: %v", k, v, errs)
			}
		}
		other := name[:len(name)-1] + "x"
		if other != name && f.document(writeReport, other, nil).Name == cm.Name {
			t.Errorf("%q and %q share %q", name, other, cm.Name)
		}
		if got, _ := f.read(writeReport, cm); got != name {
			t.Errorf("read is %q", got)
		}
	})
}

func TestDocumentsGoWithTheirNode(t *testing.T) {
	s := newServer(t)
	c := s.client(Config{})
	f := fleetOf(t, c)
	owner := func() string {
		t.Helper()
		if err := f.WriteReport(t.Context(), []byte("{}")); err != nil {
			t.Fatal(err)
		}
		cm := get[*corev1.ConfigMap](s, "configmaps", "gpulet-report-n1")
		if len(cm.OwnerReferences) == 0 {
			return ""
		}
		return fmt.Sprint(len(cm.OwnerReferences), cm.OwnerReferences[0].Kind, cm.OwnerReferences[0].Name, cm.OwnerReferences[0].UID)
	}
	if o := owner(); o != "" {
		t.Errorf("the owner is %q while the Node is not known", o)
	}
	run(t, c)
	says(t, c, map[string]int64{})
	if o := owner(); o != "1Noden1u-n1" {
		t.Errorf("the owner is %q", o)
	}
	// What others say of the object stays.
	cm := get[*corev1.ConfigMap](s, "configmaps", "gpulet-report-n1")
	cm.Labels["theirs"] = "x"
	s.put(cm)
	owner()
	if cm = get[*corev1.ConfigMap](s, "configmaps", "gpulet-report-n1"); cm.Labels["theirs"] != "x" || cm.Annotations[nodeKey] != "n1" {
		t.Errorf("%+v", cm.ObjectMeta)
	}
	s.do(func() {
		if s.requests["POST configmaps"] != 1 {
			t.Errorf("requests %v", s.requests)
		}
	})
	if n := testutil.ToFloat64(c.writes.WithLabelValues("report", "written")); n != 3 {
		t.Errorf("%v writes of reports are counted", n)
	}
}

func TestManyDemandsAreRead(t *testing.T) {
	s := newServer(t)
	f := fleetOf(t, s.client(Config{}))
	for i := range 1001 {
		s.put(f.document(writeDemand, fmt.Sprint("n", i), []byte("{}")))
	}
	s.put(f.document(writeReport, "n1", []byte("{}")))
	stray := f.document(writeDemand, "n1", []byte("{}"))
	stray.Name = "somebody-elses"
	s.put(stray)
	all, err := f.ReadDemands(t.Context())
	if err != nil || len(all) != 1001 || all["n1000"] == nil {
		t.Errorf("%d demands, %v", len(all), err)
	}
}

func TestEvictionsNameTheirPod(t *testing.T) {
	s := newServer(t)
	c := s.client(Config{})
	f := fleetOf(t, c)
	if err := f.Evict(t.Context(), "ns", "p", "uid-7"); err != nil {
		t.Fatal(err)
	}
	s.do(func() {
		if want := "POST namespaces/ns/pods/p/eviction uid-7"; len(s.evicted) != 1 || s.evicted[0] != want {
			t.Errorf("%q, want %q", s.evicted, want)
		}
		s.refuse["POST p/eviction"] = apierrors.NewTooManyRequests("a budget", 0)
	})
	if err := f.Evict(t.Context(), "ns", "p", "uid-7"); !apierrors.IsTooManyRequests(err) {
		t.Errorf("error %v", err)
	}
	s.do(func() { s.refuse["POST p/eviction"] = apierrors.NewForbidden(corev1.Resource("pods"), "p", nil) })
	if err := f.Evict(t.Context(), "ns", "p", "uid-7"); err == nil || !strings.Contains(err.Error(), "needs the verb create on pods/eviction") {
		t.Errorf("error %v", err)
	}
	s.do(func() { s.refuse["POST p/eviction"] = apierrors.NewNotFound(corev1.Resource("pods"), "p") })
	if err := f.Evict(t.Context(), "ns", "p", "uid-7"); err != nil {
		t.Errorf("a pod that is gone: %v", err)
	}
}
