package runtime

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
)

// ContainerID is the id of one run of a container: 64 hexadecimal digits, the same whenever asked. Names and uids can be
// longer than containerd's ids may be.
func ContainerID(podUID, name string, run int) string {
	sum := sha256.Sum256([]byte(podUID + "/" + name + "/" + strconv.Itoa(run)))
	return hex.EncodeToString(sum[:])
}
