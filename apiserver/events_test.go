package apiserver

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// clock is set by a test.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// all are the Events that the server has, by reason.
func (s *fakeServer) all() map[string][]corev1.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string][]corev1.Event{}
	for _, e := range s.events {
		out[e.Reason] = append(out[e.Reason], *e.DeepCopy())
	}
	return out
}

func TestEventsArrive(t *testing.T) {
	s := newServer(t)
	clk := newClock()
	c := s.client(Config{Clock: clk.Now})
	c.Events().Pod("ns", "p", "u1", true, "DeviceNotReady", "GPU-1 is not ready") // before Run: it waits
	run(t, c)
	c.Events().Node(false, "Renewed", "registered anew")
	eventually(t, "both", func() bool { return len(s.all()) == 2 })
	p, n := s.all()["DeviceNotReady"][0], s.all()["Renewed"][0]
	if p.Namespace != "ns" || p.InvolvedObject != (corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: "ns", Name: "p", UID: "u1"}) ||
		p.Type != corev1.EventTypeWarning || p.Count != 1 || p.Source.Component != "gpulet" || p.Source.Host != "n1" || !p.FirstTimestamp.Time.Equal(clk.Now()) {
		t.Errorf("pod event %+v", p)
	}
	if n.Namespace != "default" || n.InvolvedObject != (corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: "n1", UID: "n1"}) || n.Type != corev1.EventTypeNormal {
		t.Errorf("node event %+v", n)
	}
}

func TestTheSameEventIsCounted(t *testing.T) {
	s := newServer(t)
	clk := newClock()
	c := s.client(Config{Clock: clk.Now})
	e := c.Events()
	run(t, c)
	for range 1000 {
		e.Node(true, "Same", "again")
		clk.add(time.Millisecond)
	}
	sent := func(count int32) {
		t.Helper()
		eventually(t, "the count", func() bool {
			e.sweep()
			same := s.all()["Same"]
			return len(same) > 0 && same[0].Count == count
		})
	}
	sent(1000)
	s.do(func() {
		if len(s.events) != 1 || s.writes > 20 {
			t.Errorf("%d events in %d writes", len(s.events), s.writes)
		}
		clear(s.events) // they expire
	})
	clk.add(time.Minute)
	e.Node(true, "Same", "again")
	sent(1001)
	clk.add(sameWithin + time.Second)
	e.Node(true, "Same", "again")
	eventually(t, "a second one", func() bool { return len(s.all()["Same"]) == 2 })
	clk.add(sameWithin + time.Second)
	eventually(t, "old ones are forgotten", func() bool {
		e.sweep()
		e.mu.Lock()
		defer e.mu.Unlock()
		return len(e.records) == 0
	})
}

func TestEventsWhileTheServerIsAway(t *testing.T) {
	s := newServer(t)
	s.stop()
	c := s.client(Config{})
	run(t, c)
	for i := range maxRecords + 10 {
		c.Events().Node(true, fmt.Sprintf("R%d", i), "text")
		c.Events().Node(true, fmt.Sprintf("R%d", i), "text")
	}
	if n := testutil.ToFloat64(c.events.counts.WithLabelValues("dropped")); n != 20 {
		t.Errorf("%v dropped", n)
	}
	s.start()
	eventually(t, "the first ones", func() bool { return len(s.all()) >= 10 })
	if e := s.all()["R0"]; len(e) != 1 || e[0].Count != 2 {
		t.Errorf("the first: %+v", e)
	}
}

func TestRefusedEventsDoNotHoldUpOthers(t *testing.T) {
	s := newServer(t)
	s.do(func() { s.refuse["POST gone/events"] = apierrors.NewForbidden(corev1.Resource("events"), "", nil) })
	c := s.client(Config{})
	c.Events().Pod("gone", "p", "u", true, "A", "text")
	c.Events().Pod("here", "p", "u", true, "B", "text")
	run(t, c)
	eventually(t, "the other", func() bool { return len(s.all()["B"]) == 1 })
}

func FuzzCut(f *testing.F) {
	f.Add("", 5)
	f.Add(strings.Repeat("é", 20), 9)
	f.Fuzz(func(t *testing.T, s string, to int) {
		if to < 8 || to > 2000 || !utf8.ValidString(s) {
			return
		}
		if got := cut(s, to); len(got) > to || !utf8.ValidString(got) || len(s) <= to && got != s {
			t.Errorf("cut(%q, %d) = %q", s, to, got)
		}
	})
}

// Why a pod waits is told in words that change with each pod that comes and goes: it is one Event, with the newest words.
func TestThePodsReasonIsOneEvent(t *testing.T) {
	s := newServer(t)
	c := s.client(Config{})
	e := c.Events()
	run(t, c)
	for i := range 100 {
		e.Pod("ns", "p", "u1", false, "GPUWait", fmt.Sprintf("1g.10gb fits on no GPU here: GPU 0 is held by pod a/b-%d", i))
	}
	e.Pod("ns", "q", "u2", false, "GPUWait", "another pod")
	e.Pod("ns", "p", "u1", true, "GPUInUse", "another reason")
	eventually(t, "the newest words", func() bool {
		e.sweep()
		for _, ev := range s.all()["GPUWait"] {
			if ev.InvolvedObject.Name == "p" && ev.Count == 100 && strings.HasSuffix(ev.Message, "a/b-99") {
				return true
			}
		}
		return false
	})
	eventually(t, "the others", func() bool { return len(s.all()["GPUInUse"]) == 1 && len(s.all()["GPUWait"]) == 2 })
	s.do(func() {
		if len(s.events) != 3 || s.writes > 10 {
			t.Errorf("%d Events in %d writes", len(s.events), s.writes)
		}
		for _, ev := range s.events {
			if ev.ReportingInstance != "n1" || ev.ReportingController != "gpulet" || ev.Namespace != "ns" {
				t.Errorf("%+v", ev)
			}
		}
	})
}
