// Package label follows the Node's label nvidia.com/mig.config as mig-manager does: it turns the label and a mig-parted file into a
// declaration, and says in nvidia.com/mig.config.state and in a condition of the Node how far it came and why. It never touches
// hardware, and it never asks for a pod to be evicted.
package label
