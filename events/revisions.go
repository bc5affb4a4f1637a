package events

// RevisionsReported is how far a controller has brought its pods from one template to
// another, which no look at the pods can tell: those that are not there have to be
// made of one of the two.
type RevisionsReported struct {
	UID        UID    `json:"uid"`
	Generation int64  `json:"generation"`           // of the spec that it was decided on
	Current    string `json:"current"`              // the ControllerRevision of the pods that the rollout has not reached
	Update     string `json:"update"`               // the one of the present template; Current when the rollout is complete
	Collisions int32  `json:"collisions,omitempty"` // how often the name of a revision was taken
}
