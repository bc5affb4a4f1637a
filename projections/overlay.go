package projections

import (
	"encoding/json"
	"reflect"

	"github.com/stave-run/stave/events"
)

// A status that a client wrote is kept as the difference from what is derived
// (Object.Status), with the derived values that it was laid over (Object.Over). A
// field or condition that is derived otherwise by now has lapsed: in Kubernetes its
// controller would have written it anew.

// document is an object of JSON.
type document = map[string]any

// lay puts what log.status says of an object over its derived status.
func lay(o *Object, v events.Object) {
	if len(o.Status) == 0 {
		return
	}
	field := reflect.ValueOf(v).Elem().FieldByName("Status")
	over, ok := parse(o.Status)
	if !field.IsValid() || !ok {
		return // not an object: nothing can be laid over
	}
	status := field.Addr().Interface()
	base, _ := parse(events.MustBody(status))
	if under, ok := parse(o.Over); ok {
		over, _ = standing(base, over, under)
	}
	_ = json.Unmarshal(events.MustBody(mergeStatus(base, over)), status) // what does not fit its field stays derived
}

func parse(raw json.RawMessage) (document, bool) {
	var out document
	return out, len(raw) > 0 && json.Unmarshal(raw, &out) == nil && out != nil
}

// Difference is what a status that a client wrote says beyond the derived one, and
// the derived values that this is laid over. Fields that it leaves out are derived
// as before, but for numbers and truths: those are how Go writes a zero.
func Difference(derived, written json.RawMessage) (over, under json.RawMessage) {
	base, _ := parse(derived)
	want, _ := parse(written)
	o, u := differ(base, want)
	if len(o) == 0 {
		return nil, nil
	}
	return events.MustBody(o), events.MustBody(u)
}

func differ(base, want document) (over, under document) {
	over, under = document{}, document{}
	//stave:sorted each key is written once and on its own
	for k, w := range want {
		b, had := base[k]
		o, u := differField(k, b, w)
		if o == nil {
			continue
		}
		if over[k] = o; had && u != nil {
			under[k] = u
		}
	}
	//stave:sorted as above
	for k, b := range base {
		if _, said := want[k]; !said && len(want) > 0 && zeroes(b) {
			over[k], under[k] = nil, b
		}
	}
	return over, under
}

// differField is the difference in one field; nil when there is none.
func differField(name string, b, w any) (over, under any) {
	switch w := w.(type) {
	case document:
		if base, ok := b.(document); ok {
			o, u := differ(base, w)
			if len(o) == 0 {
				return nil, nil
			}
			return o, u
		}
	case []any:
		if base, ok := b.([]any); ok && name == conditions {
			return differConditions(base, w)
		}
	}
	if reflect.DeepEqual(b, w) {
		return nil, nil
	}
	return w, b
}

// conditions is the one list that is laid over by its elements' types.
const conditions = "conditions"

func differConditions(base, want []any) (over, under any) {
	var o, u []any
	for _, c := range want {
		i := conditionIndex(base, c)
		switch {
		case i < 0:
			o = append(o, c)
		case !reflect.DeepEqual(base[i], c):
			o, u = append(o, c), append(u, base[i])
		}
	}
	if len(o) == 0 {
		return nil, nil
	}
	return o, u
}

func zeroes(v any) bool {
	switch v.(type) {
	case float64, bool:
		return true
	}
	return false
}

// standing is what of an overlay has not lapsed, with what it is laid over.
func standing(base, over, under document) (document, document) {
	o, u := document{}, document{}
	//stave:sorted each key is written once and on its own
	for k, v := range over {
		b, had := base[k]
		was, laid := under[k]
		switch v := v.(type) {
		case document:
			if len(v) == 0 {
				break // to be there is all that it says
			}
			bd, _ := b.(document)
			wd, isDocument := was.(document)
			if laid && !isDocument || !laid && had && bd == nil {
				break // it was laid over something else than fields
			}
			if in, un := standing(bd, v, wd); len(in) > 0 {
				o[k], u[k] = in, un
			}
			continue
		case []any:
			if k == conditions {
				bl, _ := b.([]any)
				wl, _ := was.([]any)
				if in, un := standingConditions(bl, v, wl); len(in) > 0 {
					o[k], u[k] = in, un
				}
				continue
			}
		}
		if had == laid && reflect.DeepEqual(b, was) {
			if o[k] = v; laid {
				u[k] = was
			}
		}
	}
	return o, u
}

func standingConditions(base, over, under []any) (o, u []any) {
	for _, c := range over {
		i, j := conditionIndex(base, c), conditionIndex(under, c)
		switch {
		case i < 0 && j < 0:
			o = append(o, c)
		case i >= 0 && j >= 0 && sameCondition(base[i], under[j]):
			o, u = append(o, c), append(u, under[j])
		}
	}
	return o, u
}

// sameCondition compares what conditions say; a heartbeat alone makes no other one.
func sameCondition(a, b any) bool {
	x, _ := a.(document)
	y, _ := b.(document)
	return x["status"] == y["status"] && x["reason"] == y["reason"] && x["message"] == y["message"]
}

// lapse takes out of the rows that an event changed what has lapsed of what was
// laid over them: it does not come back when the derived value does.
func (f *folding) lapse() {
	for i := range f.changes {
		o := f.changes[i].After
		if o == nil || len(o.Status) == 0 || len(o.Over) == 0 {
			continue
		}
		if now, ok := f.s.Get(o.Key); !ok || now != o {
			continue // a later change of this event has the row
		}
		n, moved := f.s.lapsed(o)
		if !moved {
			continue
		}
		f.changes[i].After = n
		f.s.objects = f.s.objects.with(rowKey(n.Key), n)
		f.weigh(n.Key)
	}
}

func (s State) lapsed(o *Object) (*Object, bool) {
	over, ok := parse(o.Status)
	under, had := parse(o.Over)
	if !ok || !had {
		return o, false
	}
	base, _ := parse(s.DerivedStatus(o, s.Time))
	left, on := standing(base, over, under)
	n := o.clone()
	x := n.own()
	x.Status, x.Over = nil, nil
	if len(left) > 0 {
		x.Status, x.Over = events.MustBody(left), events.MustBody(on)
	}
	return n, string(n.Status) != string(o.Status)
}
