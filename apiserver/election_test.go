package apiserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
)

var errAway = errors.New("the server is away")

// leaseServer is an API server of one Lease. Answers take 5 ms.
type leaseServer struct {
	coordinationv1client.LeaseInterface // the rest is not used

	mu      sync.Mutex
	lease   *coordinationv1.Lease
	version int
	watches map[*watch.FakeWatcher]bool
	away    bool
	deaf    bool // it does what it is asked, and its answers to writes are lost
	writes  int
	tries   int // also those that do not arrive
}

func (s *leaseServer) meta() schema.GroupResource { return coordinationv1.Resource("leases") }

func (s *leaseServer) enter() (leave func(), err error) {
	time.Sleep(5 * time.Millisecond)
	s.mu.Lock()
	if s.away {
		s.mu.Unlock()
		return nil, errAway
	}
	return s.mu.Unlock, nil
}

func (s *leaseServer) tell(t watch.EventType) {
	s.version++
	s.lease.ResourceVersion = strconv.Itoa(s.version)
	for w := range s.watches {
		if !w.IsStopped() {
			w.Action(t, s.lease.DeepCopy())
		}
	}
}

func (s *leaseServer) written() (*coordinationv1.Lease, error) {
	if s.deaf {
		return nil, errAway
	}
	return s.lease.DeepCopy(), nil
}

func (s *leaseServer) Create(_ context.Context, l *coordinationv1.Lease, _ metav1.CreateOptions) (*coordinationv1.Lease, error) {
	s.set(func() { s.tries++ })
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	if s.writes++; s.lease != nil {
		return nil, apierrors.NewAlreadyExists(s.meta(), l.Name)
	}
	s.lease = l.DeepCopy()
	s.lease.UID = types.UID("lease")
	s.tell(watch.Added)
	return s.written()
}

func (s *leaseServer) Update(_ context.Context, l *coordinationv1.Lease, _ metav1.UpdateOptions) (*coordinationv1.Lease, error) {
	s.set(func() { s.tries++ })
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	if s.writes++; s.lease == nil || s.lease.ResourceVersion != l.ResourceVersion {
		return nil, apierrors.NewConflict(s.meta(), l.Name, nil)
	}
	s.lease = l.DeepCopy()
	s.tell(watch.Modified)
	return s.written()
}

func (s *leaseServer) Get(context.Context, string, metav1.GetOptions) (*coordinationv1.Lease, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	if s.lease == nil {
		return nil, apierrors.NewNotFound(s.meta(), "l")
	}
	return s.lease.DeepCopy(), nil
}

func (s *leaseServer) List(context.Context, metav1.ListOptions) (*coordinationv1.LeaseList, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	l := &coordinationv1.LeaseList{ListMeta: metav1.ListMeta{ResourceVersion: strconv.Itoa(s.version)}}
	if s.lease != nil {
		l.Items = append(l.Items, *s.lease.DeepCopy())
	}
	return l, nil
}

func (s *leaseServer) Watch(context.Context, metav1.ListOptions) (watch.Interface, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	w := watch.NewFakeWithChanSize(1000, false)
	s.watches[w] = true
	return w, nil
}

func (s *leaseServer) holder() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lease == nil {
		return ""
	}
	return *s.lease.Spec.HolderIdentity
}

func (s *leaseServer) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f(); s.away {
		for w := range s.watches {
			w.Stop()
		}
		clear(s.watches)
	}
}

// link is one agent's way to the server.
type link struct {
	*leaseServer
	mu  sync.Mutex
	cut bool
}

func (l *link) Update(ctx context.Context, lease *coordinationv1.Lease, o metav1.UpdateOptions) (*coordinationv1.Lease, error) {
	l.mu.Lock()
	cut := l.cut
	l.mu.Unlock()
	if cut {
		return nil, errAway
	}
	return l.leaseServer.Update(ctx, lease, o)
}

// party is some agents that elect one.
type party struct {
	t      *testing.T
	server *leaseServer
	links  []*link
	stops  []context.CancelFunc
	wait   sync.WaitGroup

	mu      sync.Mutex
	leaders map[int]bool
	terms   int
	errs    map[int]error // what lead of an agent returns at once
}

func newParty(t *testing.T, n int) *party {
	p := &party{
		t: t, server: &leaseServer{watches: map[*watch.FakeWatcher]bool{}}, leaders: map[int]bool{}, errs: map[int]error{},
	}
	for i := range n {
		ctx, stop := context.WithCancel(context.Background())
		l := &link{leaseServer: p.server}
		p.links, p.stops = append(p.links, l), append(p.stops, stop)
		e := &election{
			api: l, name: "l", id: fmt.Sprint("agent-", i), duration: 15 * time.Second, renew: 10 * time.Second, retry: 2 * time.Second,
			did: func(err error) error { return err }, log: slog.New(slog.DiscardHandler),
		}
		p.wait.Go(func() { e.run(ctx, func(ctx context.Context) error { return p.lead(ctx, i) }) })
	}
	return p
}

func (p *party) lead(ctx context.Context, i int) error {
	p.mu.Lock()
	if p.leaders[i] = true; len(p.leaders) > 1 {
		p.t.Errorf("%v lead at once", p.leaders)
	}
	p.terms++
	err := p.errs[i]
	p.mu.Unlock()
	if err == nil {
		<-ctx.Done()
		time.Sleep(30 * time.Millisecond) // it does not stop at once
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.leaders, i)
	return err
}

// leader is the one that leads, -1 when nobody does.
func (p *party) leader() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.leaders {
		return i
	}
	return -1
}

// another waits until an agent other than one leads, and says how long that took.
func (p *party) another(than int, within time.Duration) (leader int, took time.Duration) {
	p.t.Helper()
	for took = 0; took <= within; took += 10 * time.Millisecond {
		if leader = p.leader(); leader >= 0 && leader != than {
			return leader, took
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.t.Fatalf("nobody but %d leads after %s", than, within)
	return -1, 0
}

func (p *party) end() {
	for _, stop := range p.stops {
		stop()
	}
	p.wait.Wait()
}

// elect runs a test in a bubble of time.
func elect(t *testing.T, n int, test func(t *testing.T, p *party)) {
	synctest.Test(t, func(t *testing.T) {
		p := newParty(t, n)
		defer p.end()
		test(t, p)
	})
}

func TestOnePlansAndHandsOverAtItsEnd(t *testing.T) {
	elect(t, 3, func(t *testing.T, p *party) {
		leader, _ := p.another(-1, time.Second)
		time.Sleep(time.Hour)
		if p.leader() != leader || p.terms != 1 {
			t.Errorf("%d leads after %d terms, not %d", p.leader(), p.terms, leader)
		}
		p.stops[leader]()
		if _, took := p.another(leader, time.Second); took > 700*time.Millisecond {
			t.Errorf("it took %s", took)
		}
	})
}

func TestAnotherPlansWithinTheLeaseTime(t *testing.T) {
	elect(t, 2, func(t *testing.T, p *party) {
		leader, _ := p.another(-1, time.Second)
		for range 10 {
			time.Sleep(7777 * time.Millisecond)
			// As if it were killed: it renews no more. It stops by itself before anybody else leads, or lead says so.
			for i, l := range p.links {
				l.mu.Lock()
				l.cut = i == leader
				l.mu.Unlock()
			}
			next, took := p.another(leader, 15*time.Second+600*time.Millisecond)
			t.Logf("%d after %s", next, took)
			leader = next
		}
	})
}

// However many wait, a Lease that becomes free is not asked for by all of them.
func TestManyWaitWithoutAsking(t *testing.T) {
	elect(t, 500, func(t *testing.T, p *party) {
		leader, _ := p.another(-1, 2*time.Second)
		p.server.set(func() { p.server.writes = 0 })
		time.Sleep(time.Minute)
		p.server.set(func() {
			if p.server.writes > 13 {
				t.Errorf("%d writes in a minute", p.server.writes)
			}
			p.server.writes = 0
		})
		p.stops[leader]()
		p.another(leader, time.Second)
		time.Sleep(time.Second)
		if p.server.set(func() {}); p.server.writes > 40 {
			t.Errorf("%d writes to hand over", p.server.writes)
		}
	})
}

func TestNobodyPlansWhileTheServerIsAway(t *testing.T) {
	elect(t, 3, func(t *testing.T, p *party) {
		p.another(-1, time.Second)
		p.server.set(func() { p.server.away = true })
		time.Sleep(11 * time.Second)
		if l := p.leader(); l >= 0 {
			t.Errorf("%d leads without a Lease", l)
		}
		p.server.set(func() { p.server.tries = 0 })
		time.Sleep(time.Hour)
		p.server.set(func() {
			if p.server.away = false; p.server.tries > 0 {
				t.Errorf("%d attempts to write what is not seen", p.server.tries)
			}
		})
		p.another(-1, time.Minute)
	})
}

// Who renewed and was not told goes on.
func TestLostAnswersDoNotEndATerm(t *testing.T) {
	elect(t, 2, func(t *testing.T, p *party) {
		leader, _ := p.another(-1, time.Second)
		for range 20 {
			p.server.set(func() { p.server.deaf = true })
			time.Sleep(3 * time.Second)
			p.server.set(func() { p.server.deaf = false })
			time.Sleep(7 * time.Second)
		}
		if p.leader() != leader || p.terms != 1 {
			t.Errorf("%d leads after %d terms, not %d", p.leader(), p.terms, leader)
		}
	})
}

func TestWhoCannotPlanLetsAnother(t *testing.T) {
	elect(t, 2, func(t *testing.T, p *party) {
		p.mu.Lock()
		p.errs[0], p.errs[1] = errAway, errAway
		p.mu.Unlock()
		time.Sleep(10 * time.Minute)
		p.mu.Lock()
		if p.terms < 4 || p.terms > 60 {
			t.Errorf("%d attempts in 10 minutes", p.terms)
		}
		delete(p.errs, 1)
		p.mu.Unlock()
		if leader, _ := p.another(0, 2*time.Minute); leader != 1 {
			t.Errorf("%d leads", leader)
		}
	})
}

func TestATakenLeaseIsLost(t *testing.T) {
	elect(t, 1, func(t *testing.T, p *party) {
		p.another(-1, time.Second)
		p.server.set(func() {
			other := "somebody else"
			p.server.lease.Spec.HolderIdentity = &other
			p.server.tell(watch.Modified)
		})
		time.Sleep(6 * time.Second)
		if p.leader() >= 0 {
			t.Error("it leads")
		}
		p.another(-1, 30*time.Second)
		if h := p.server.holder(); h != "agent-0" {
			t.Errorf("%q holds it", h)
		}
	})
}
