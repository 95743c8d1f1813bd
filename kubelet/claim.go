package kubelet

import "time"

// Claim says that a container of a pod holds a device: from Allocate until the end of that pod's UID. Stored as JSON.
type Claim struct {
	Resource string `json:"resource"`
	ID       string `json:"id"` // the device id as the kubelet knows it
	// Pod is empty while it is not known whose the claim is; such a claim is held.
	Pod       UID       `json:"pod,omitempty"`
	Namespace string    `json:"namespace,omitempty"`
	Name      string    `json:"name,omitempty"`
	Container string    `json:"container,omitempty"`
	Opened    time.Time `json:"opened"`
	// Confirmed: the kubelet said that it is this container's. Until then Pod is the likely one, and its end does not close the claim.
	Confirmed bool `json:"confirmed,omitempty"`
	// Unrecorded: its pod lives and the kubelet, which confirmed it, has no record of it any more: it would give the device away.
	Unrecorded bool `json:"unrecorded,omitempty"`
	// Foreign: it was not opened by an Allocate of ours but found with the kubelet.
	Foreign bool `json:"foreign,omitempty"`
}

// ClaimSet are all open claims at one moment. Immutable.
type ClaimSet struct {
	// Complete: the state file and the kubelet's own account were read. Before that nothing new may be offered.
	Complete bool
	// ByID are the claims by device id: several when containers of one pod share a device.
	ByID map[string][]Claim
}

// Held reports whether any live pod holds a device.
func (s *ClaimSet) Held(id string) bool { return len(s.ByID[id]) > 0 }

// Holding is a claim with the reason why it is still held, for people.
type Holding struct {
	Claim
	Why string `json:"why"`
}
