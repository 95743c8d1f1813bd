package fakekubelet

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pod is a pod with its containers. The object is never changed in place.
type pod struct {
	object     *corev1.Pod
	created    int
	told       bool // the watchers of this process know it; all guarded by Kubelet.mu
	ended      bool // its containers are gone for good
	containers map[string]*container
}

type container struct {
	id              string
	state           State
	restarts        int
	reason, message string
	given           Given
}

// Admit gives a bound pod to the kubelet. The error is a *RejectedError when it fails at admission: then it stays, Failed.
// Like the kubelet's, admission has no deadline and comes one pod after another; when ctx ends Admit returns and it goes on.
func (k *Kubelet) Admit(ctx context.Context, spec PodSpec) (Pod, error) {
	object := spec.Object()
	uid := string(object.UID)
	p := k.current()
	if p == nil {
		return Pod{}, ErrDown
	}
	err := p.do(ctx, func() {
		k.mu.Lock()
		k.serial++
		object.CreationTimestamp = metav1.NewTime(k.opts.Clock.Now())
		k.pods[uid] = &pod{object: object, created: k.serial, containers: map[string]*container{}}
		for _, c := range containers(object) {
			k.pods[uid].containers[c.Name] = &container{state: Waiting, reason: "PodInitializing"}
		}
		k.changeLocked()
		k.mu.Unlock()
		p.admit(uid)
	})
	if err != nil {
		return Pod{}, err
	}
	admitted, ok := k.Pod(uid)
	if !ok {
		return Pod{}, fmt.Errorf("pod %s was deleted meanwhile", uid)
	}
	if admitted.Reason != "" {
		return admitted, &RejectedError{admitted.Reason, admitted.Message}
	}
	return admitted, nil
}

// admit runs in the sync loop, and reports whether the pod was not rejected. A pod that has ended is left alone.
func (p *process) admit(uid string) bool {
	k := p.k
	k.mu.Lock()
	record := k.pods[uid]
	if record == nil || record.ended {
		k.mu.Unlock()
		return true
	}
	object := record.object
	k.mu.Unlock()
	err := p.allocatePod(object)
	if errors.Is(err, ErrDown) || p.ctx.Err() != nil {
		return true
	}
	var rejected *RejectedError
	if errors.As(err, &rejected) {
		k.event(object.Namespace+"/"+object.Name, rejected.Reason, rejected.Message)
	}
	killed := false
	k.update(uid, func(record *pod, object *corev1.Pod) {
		if object.Status.StartTime == nil {
			now := metav1.NewTime(k.opts.Clock.Now())
			object.Status.StartTime = &now
		}
		if rejected == nil {
			return
		}
		// A phase that ends a pod waits for its containers and then follows from them; the rejection is overwritten.
		if killed = record.runs(); killed {
			object.Status.Phase = corev1.PodSucceeded
		} else {
			object.Status.Phase, object.Status.Reason = corev1.PodFailed, rejected.Reason
			object.Status.Message = "Pod was rejected: " + rejected.Message
		}
		record.end()
	})
	if killed {
		k.terminated(uid)
	}
	return rejected == nil
}

func (p *process) allocatePod(object *corev1.Pod) error {
	for _, c := range containers(object) {
		if err := p.devices.allocate(object, &c); err != nil {
			if errors.Is(err, ErrDown) {
				return err
			}
			return &RejectedError{"UnexpectedAdmissionError", fmt.Sprintf("Allocate failed due to %v, which is unexpected", err)}
		}
	}
	return p.fits(object)
}

// fits compares a pod with the Node object, raised to what is allocated when the pod has devices. Resources that the Node does
// not know are nobody's: a pod that asks for them is admitted without.
func (p *process) fits(object *corev1.Pod) error {
	node := p.k.Node()
	d := p.devices
	d.mu.Lock()
	if d.held[string(object.UID)] != nil {
		for r, ids := range d.allocated {
			if c := node[r]; c.Allocatable < int64(len(ids)) {
				node[r] = Count{c.Capacity, int64(len(ids))}
			}
		}
	}
	d.mu.Unlock()
	used := map[string]int64{}
	p.k.mu.Lock()
	mine := p.k.pods[string(object.UID)]
	for _, other := range p.k.pods {
		// A kubelet that starts admits the pods one after another: those that come later are not there yet.
		if mine != nil && other.created < mine.created && !other.ended {
			for r, n := range effective(other.object) {
				used[r] += n
			}
		}
	}
	p.k.mu.Unlock()
	wants := effective(object)
	for _, r := range keys(wants) {
		if c, ok := node[r]; ok && wants[r] > 0 && wants[r]+used[r] > c.Allocatable {
			return &RejectedError{
				"OutOf" + r,
				fmt.Sprintf("Node didn't have enough resource: %s, requested: %d, used: %d, capacity: %d", r, wants[r], used[r], c.Allocatable),
			}
		}
	}
	return nil
}

// update changes a pod's object and tells the watchers.
func (k *Kubelet) update(uid string, change func(record *pod, object *corev1.Pod)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	record := k.pods[uid]
	if record == nil {
		return
	}
	object := record.object.DeepCopy()
	change(record, object)
	object.Status.InitContainerStatuses = statuses(record, object.Spec.InitContainers)
	object.Status.ContainerStatuses = statuses(record, object.Spec.Containers)
	record.object = object
	k.tell(record)
	k.changeLocked()
}

// runs reports whether a container runs.
func (r *pod) runs() bool {
	for _, c := range r.containers {
		if c.state == Running {
			return true
		}
	}
	return false
}

// end is the end of all containers.
func (r *pod) end() {
	r.ended = true
	for _, c := range r.containers {
		c.state, c.reason, c.message = Terminated, "", ""
	}
}

// byCreation are the UIDs of all pods, the oldest first.
func (k *Kubelet) byCreation() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.SortedFunc(func(yield func(string) bool) {
		for uid := range k.pods {
			if !yield(uid) {
				return
			}
		}
	}, func(a, b string) int { return k.pods[a].created - k.pods[b].created })
}

// active are the pods whose containers run or will run.
func (k *Kubelet) active() map[string]bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := map[string]bool{}
	for uid, r := range k.pods {
		if !r.ended {
			out[uid] = true
		}
	}
	return out
}

// runs reports whether the runtime has a container running.
func (k *Kubelet) runs(uid, name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := k.pods[uid]
	return r != nil && r.containers[name] != nil && r.containers[name].state == Running
}
