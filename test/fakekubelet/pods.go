package fakekubelet

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Pod is a pod as it is now.
func (k *Kubelet) Pod(uid string) (Pod, bool) {
	p := k.current()
	k.mu.Lock()
	r := k.pods[uid]
	if r == nil {
		k.mu.Unlock()
		return Pod{}, false
	}
	object := r.object
	out := Pod{
		UID: uid, Namespace: object.Namespace, Name: object.Name,
		Phase: object.Status.Phase, Reason: object.Status.Reason, Message: object.Status.Message,
	}
	for _, c := range containers(object) {
		s := r.containers[c.Name]
		kind, _ := kindOf(object, c.Name)
		out.Containers = append(out.Containers, Container{
			Name: c.Name, Kind: kind, ID: s.id, State: s.state, Restarts: s.restarts, Reason: s.reason, Message: s.message, Given: s.given,
		})
	}
	k.mu.Unlock()
	if p == nil {
		return out, true
	}
	d := p.devices
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range out.Containers {
		c := &out.Containers[i]
		c.Devices, c.Health = map[string][]string{}, map[string]string{}
		for r, v := range d.held[uid][c.Name] {
			c.Devices[r] = keys(v.ids.IDs())
			for id := range v.ids.IDs() {
				c.Health[id] = healthy
				if dev := d.all[r][id]; dev != nil {
					c.Health[id] = dev.Health
				}
			}
		}
	}
	return out, true
}

// Pods are all pods, the oldest first.
func (k *Kubelet) Pods() []Pod {
	var out []Pod
	for _, uid := range k.byCreation() {
		if p, ok := k.Pod(uid); ok {
			out = append(out, p)
		}
	}
	return out
}

// EndPod lets a pod's containers end by themselves: the phase is Succeeded, or Failed. Its object stays.
func (k *Kubelet) EndPod(uid string, phase corev1.PodPhase) {
	k.update(uid, func(r *pod, object *corev1.Pod) {
		object.Status.Phase = phase
		r.end()
	})
	k.terminated(uid)
}

// StopPod asks a pod to end, as deleting it does first: its containers go on until DeletePod.
func (k *Kubelet) StopPod(uid string) {
	k.update(uid, func(_ *pod, object *corev1.Pod) {
		if object.DeletionTimestamp == nil {
			now := metav1.NewTime(k.opts.Clock.Now())
			object.DeletionTimestamp = &now
		}
	})
}

// DeletePod ends a pod's containers and takes it away.
func (k *Kubelet) DeletePod(uid string) {
	k.StopPod(uid)
	k.update(uid, func(r *pod, object *corev1.Pod) {
		if object.Status.Phase != corev1.PodFailed {
			object.Status.Phase = corev1.PodSucceeded
		}
		r.end()
	})
	k.terminated(uid)
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.pods, uid)
	k.changeLocked()
}

// reboot kills all containers. Devices of pods stay theirs.
func (k *Kubelet) reboot() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range k.pods {
		for _, c := range r.containers {
			if c.state == Running || c.state == Terminated && !r.ended {
				c.state = Waiting
			}
		}
	}
	k.changeLocked()
}

func statuses(r *pod, specs []corev1.Container) []corev1.ContainerStatus {
	var out []corev1.ContainerStatus
	for _, spec := range specs {
		c := r.containers[spec.Name]
		s := corev1.ContainerStatus{Name: spec.Name, RestartCount: int32(c.restarts), Ready: c.state == Running} //nolint:gosec // a count
		if c.id != "" {
			s.ContainerID = "containerd://" + c.id
		}
		switch c.state {
		case Waiting:
			s.State.Waiting = &corev1.ContainerStateWaiting{Reason: c.reason, Message: c.message}
		case Running:
			s.State.Running = &corev1.ContainerStateRunning{}
		case Terminated:
			s.State.Terminated = &corev1.ContainerStateTerminated{}
		}
		out = append(out, s)
	}
	return out
}

// objects are the pods' objects ordered by UID.
func (k *Kubelet) objects(only func(*pod) bool) []*corev1.Pod {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []*corev1.Pod
	for _, uid := range slices.Sorted(maps.Keys(k.pods)) {
		if only(k.pods[uid]) {
			out = append(out, k.pods[uid].object)
		}
	}
	return out
}
