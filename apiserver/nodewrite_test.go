package apiserver

import (
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

func TestLabelsAreFollowedAndWritten(t *testing.T) {
	s := newServer(t)
	s.do(func() { s.node.Labels = map[string]string{"a": "1"} })
	c := s.client(Config{})
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan map[string]string, 10)
	done := make(chan error, 1)
	go func() { done <- c.FollowLabels(ctx, func(l map[string]string) { told <- l }) }()
	next := func(want map[string]string) {
		t.Helper()
		select {
		case got := <-told:
			if !maps.Equal(got, want) || (got == nil) != (want == nil) {
				t.Errorf("told %v, want %v", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("not told of %v", want)
		}
	}
	next(nil) // not known before Run
	run(t, c)
	next(map[string]string{"a": "1"})
	set := func(key, value string) {
		t.Helper()
		if err := c.SetLabel(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	set("nvidia.com/mig.config.state", "pending")
	next(map[string]string{"a": "1", "nvidia.com/mig.config.state": "pending"})
	// A change of something else is not told.
	if err := c.PatchResources(t.Context(), map[string]Count{whole: {Capacity: 1}}); err != nil {
		t.Fatal(err)
	}
	says(t, c, map[string]int64{whole: 0})
	set("a", "")
	next(map[string]string{"nvidia.com/mig.config.state": "pending"})
	set("nvidia.com/mig.config.state", "")
	next(map[string]string{})
	s.stop()
	next(nil)
	cancel()
	if err := <-done; err == nil {
		t.Error("no error")
	}
	if n := testutil.ToFloat64(c.writes.WithLabelValues("label", "written")); n != 3 {
		t.Errorf("%v writes of labels are counted", n)
	}
}

func (s *fakeServer) condition(kind corev1.NodeConditionType) corev1.NodeCondition {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, _ := conditionOf(s.node, kind)
	return c
}

func TestConditionsAreWritten(t *testing.T) {
	s := newServer(t)
	s.do(func() {
		s.node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady"}}
	})
	clk := newClock()
	const kind = "GPULayoutReached"
	set := func(c *Client, status bool, reason, message string) {
		t.Helper()
		clk.add(time.Minute)
		if err := c.SetCondition(t.Context(), kind, status, reason, message); err != nil {
			t.Fatal(err)
		}
	}
	is := func(status corev1.ConditionStatus, message string, since time.Time) {
		t.Helper()
		got := s.condition(kind)
		if got.Status != status || got.Message != message || !got.LastTransitionTime.Time.Equal(since) || !got.LastHeartbeatTime.Time.Equal(clk.Now()) {
			t.Errorf("%+v, want %s %q since %s", got, status, message, since)
		}
		if ready := s.condition(corev1.NodeReady); ready.Reason != "KubeletReady" {
			t.Errorf("Ready is %+v", ready)
		}
	}
	c := s.client(Config{Clock: clk.Now}) // the Node is not watched: it is read
	set(c, false, "Busy", "GPU 0")
	since := clk.Now()
	is(corev1.ConditionFalse, "GPU 0", since)
	set(c, false, "Busy", "GPU 1")
	is(corev1.ConditionFalse, "GPU 1", since)

	c = s.client(Config{Clock: clk.Now}) // another process
	run(t, c)
	says(t, c, map[string]int64{})
	set(c, false, "Busy", "GPU 2")
	is(corev1.ConditionFalse, "GPU 2", since)
	for range 3 { // quick changes of mind all arrive, though the watch is late
		set(c, true, "Reached", "")
		is(corev1.ConditionTrue, "", clk.Now())
		set(c, false, "Busy", "GPU 2")
		is(corev1.ConditionFalse, "GPU 2", clk.Now())
	}
	since = clk.Now()
	eventually(t, "nothing is sent that the Node says", func() bool {
		var before, after int
		s.do(func() { before = s.requests["PATCH node"] })
		if err := c.SetCondition(t.Context(), kind, false, "Busy", "GPU 2"); err != nil {
			t.Fatal(err)
		}
		s.do(func() { after = s.requests["PATCH node"] })
		return before == after
	})
	s.do(func() { // somebody removes it
		s.node.Status.Conditions = s.node.Status.Conditions[:1]
		s.tell("MODIFIED", s.node)
	})
	eventually(t, "it is written again", func() bool {
		set(c, false, "Busy", "GPU 2")
		got := s.condition(kind)
		return got.Status == corev1.ConditionFalse && got.LastTransitionTime.Time.Equal(since)
	})
}

// The watch may be late: what it shows then is no reason not to write.
func TestAConditionIsWrittenThoughTheWatchIsLate(t *testing.T) {
	s := newServer(t)
	c := s.client(Config{})
	old := s.node.DeepCopy()
	old.Status.Conditions = []corev1.NodeCondition{{Type: "C", Status: corev1.ConditionFalse, Reason: "R"}}
	c.node.current.set(old)
	for _, status := range []bool{true, false} {
		if err := c.SetCondition(t.Context(), "C", status, "R", ""); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.condition("C").Status; got != corev1.ConditionFalse {
		t.Errorf("the condition is %q", got)
	}
}

func TestWhatIsMissingToWriteANode(t *testing.T) {
	s := newServer(t)
	s.do(func() {
		s.refuse["PATCH nodes/n1"] = apierrors.NewForbidden(corev1.Resource("nodes"), "n1", nil)
		s.refuse["PATCH nodes/n1/status"] = apierrors.NewForbidden(corev1.Resource("nodes"), "n1", nil)
	})
	c := s.client(Config{})
	for verb, err := range map[string]error{
		"needs the verb patch on nodes:":        c.SetLabel(t.Context(), "a", "b"),
		"needs the verb patch on nodes/status:": c.SetCondition(t.Context(), "C", true, "R", ""),
	} {
		if err == nil || !strings.Contains(err.Error(), verb) {
			t.Errorf("error %v, want %q", err, verb)
		}
	}
}
