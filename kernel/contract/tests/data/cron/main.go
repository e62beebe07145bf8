// Command cron-vectors prints vectors for the cron dialect, one JSON object a line: what robfig/cron v3 reads, and when it
// fires. Make them again with
//
//	go run . > vectors.jsonl
//
// Where the rules of this project differ on purpose, a vector holds ours as `next`, robfig's as `robfig`, and `why`. Ours
// are found here by their definition, minute by minute over the values that robfig's parser read; the program fails where
// they differ from robfig's and no clock was changed.
package main

import (
	"encoding/json"
	"log"
	"os"
	"slices"
	"strings"
	"time"
	_ "time/tzdata"

	"github.com/robfig/cron/v3"
)

const instants = 5

// vector is a line of the output.
type vector struct {
	// Schedule is one entry of an annotation, as written.
	Schedule string `json:"schedule"`
	// Annotation is what the entry stands in, where it is not alone.
	Annotation string `json:"annotation,omitempty"`
	// Timezone is that of the annotation cron-timezone.
	Timezone string `json:"timezone,omitempty"`
	// After is the time before the instants.
	After time.Time `json:"after"`
	// Next are the instants: null where we refuse the text, none where it never fires.
	Next []time.Time `json:"next"`
	// Robfig is when robfig fires, where that is something else: "refused", "never", "searches forever", or instants.
	Robfig any `json:"robfig,omitempty"`
	// Why says what makes the difference.
	Why string `json:"why,omitempty"`
}

func main() {
	log.SetFlags(0)
	output := json.NewEncoder(os.Stdout)
	output.SetEscapeHTML(false)
	for _, wanted := range wanted() {
		if err := output.Encode(made(wanted)); err != nil {
			log.Fatal(err)
		}
	}
}

// made is the vector of a case.
func made(wanted request) vector {
	after, err := time.Parse(time.RFC3339, wanted.after)
	if err != nil {
		log.Fatal(err)
	}
	made := vector{
		Schedule: wanted.schedule, Annotation: wanted.annotation, Timezone: wanted.timezone, After: after.UTC(),
	}
	text := wanted.schedule
	if wanted.timezone != "" && !strings.Contains(text, "TZ=") {
		text = "CRON_TZ=" + wanted.timezone + " " + text
	}
	theirs, read, ended := robfigInTime(text, after)
	if wanted.annotation != "" {
		_, read, _ = robfigInTime(wanted.annotation, after)
	}
	if wanted.refused {
		if read {
			made.Robfig, made.Why = shown(theirs, ended), need(wanted)
		}
		return made
	}
	spelled := text
	if wanted.same != "" {
		spelled = wanted.same
		if _, ok, _ := robfigInTime(spelled, after); read || !ok {
			log.Fatalf("%s: robfig reads it, or does not read %s", text, spelled)
		}
	}
	var change bool
	made.Next, change = ours(spelled, after)
	switch {
	case !read && wanted.same == "" && wanted.annotation == "":
		log.Fatalf("%s: robfig does not read it", text)
	case !read:
		made.Robfig, made.Why = "refused", need(wanted)
	case !slices.EqualFunc(made.Next, theirs, time.Time.Equal):
		made.Robfig, made.Why = shown(theirs, ended), wanted.why
		if made.Why == "" && change {
			made.Why = "clock change"
		}
		if made.Why == "" {
			log.Fatalf("%s after %s: ours %v, robfig's %v", text, after, made.Next, theirs)
		}
	}
	return made
}

// shown is when robfig fires, as a vector says it.
func shown(next []time.Time, ended bool) any {
	switch {
	case !ended:
		return "searches forever"
	case len(next) == 0:
		return "never"
	}
	return next
}

// need is the reason that a case must give.
func need(wanted request) string {
	if wanted.why == "" {
		log.Fatalf("%s: why?", wanted.schedule)
	}
	return wanted.why
}

// robfigInTime is robfig, and whether it ended: it turns in circles at a day that the zone leaves out.
func robfigInTime(text string, after time.Time) (next []time.Time, read, ended bool) {
	done := make(chan struct{})
	var found []time.Time
	var known bool
	go func() {
		defer close(done)
		found, known = robfig(text, after)
	}()
	select {
	case <-done:
		return found, known, true
	case <-time.After(20 * time.Second):
		return nil, true, false
	}
}

// robfig is when robfig fires, and whether it reads the text.
func robfig(text string, after time.Time) (next []time.Time, read bool) {
	// It takes a zone for granted to be followed by a blank.
	defer func() {
		if recover() != nil {
			next, read = nil, false
		}
	}()
	schedule, err := cron.ParseStandard(text)
	if err != nil {
		return nil, false
	}
	for last := after.UTC(); len(next) < instants; {
		if last = schedule.Next(last); last.IsZero() {
			break
		}
		next = append(next, last.UTC())
	}
	return next, true
}

// ours is when we fire, and whether a clock was changed before the last instant.
func ours(text string, after time.Time) ([]time.Time, bool) {
	schedule, err := cron.ParseStandard(text)
	if err != nil {
		log.Fatal(err)
	}
	switch schedule := schedule.(type) {
	case cron.ConstantDelaySchedule:
		delay := int64(schedule.Delay / time.Second)
		last := after.Unix() - after.Unix()%delay
		next := []time.Time{}
		for len(next) < instants {
			last += delay
			next = append(next, time.Unix(last, 0).UTC())
		}
		return next, false
	case *cron.SpecSchedule:
		return scan(schedule, interval(text), after)
	}
	log.Fatalf("%s: a schedule of another kind", text)
	return nil, false
}

// interval says whether minute or hour has a star or a step.
func interval(text string) bool {
	fields := strings.Fields(text)
	if strings.Contains(fields[0], "TZ=") {
		fields = fields[1:]
	}
	if strings.HasPrefix(fields[0], "@") {
		return fields[0] == "@hourly"
	}
	return strings.ContainsAny(fields[0]+fields[1], "*?/")
}

// scan looks at every minute of the next 45 years. What is no interval fires when a local
// time that is due is reached or passed for the first time, so never again when the clock was put back.
func scan(schedule *cron.SpecSchedule, interval bool, after time.Time) ([]time.Time, bool) {
	const minute, day = 60, 24 * 60 * 60
	zone := schedule.Location
	if zone == time.Local {
		zone = time.UTC
	}
	// What a clock in the zone shows at that second, counted as if it were UTC, and its offset.
	local := func(second int64) (int64, int64) {
		_, offset := time.Unix(second, 0).In(zone).Zone()
		return second + int64(offset), int64(offset)
	}
	second := after.Unix() - after.Unix()%minute - 2*day
	passed, _ := local(second)
	_, first := local(after.Unix())
	next, changed := []time.Time{}, false
	for end := after.Unix() + 45*366*day; second < end && len(next) < instants; {
		second += minute
		now, offset := local(second)
		fires := false
		if interval {
			fires = due(schedule, now)
		} else {
			for ; passed < now; passed += minute {
				fires = fires || due(schedule, passed+minute)
			}
		}
		if second > after.Unix() {
			changed = changed || offset != first
			if fires {
				next = append(next, time.Unix(second, 0).UTC())
			}
		}
	}
	return next, changed
}

// due says whether the schedule has this local time.
func due(schedule *cron.SpecSchedule, local int64) bool {
	const star = 1 << 63
	now := time.Unix(local, 0).UTC()
	has := func(bits uint64, value int) bool { return bits&(1<<uint(value)) != 0 }
	if !has(schedule.Minute, now.Minute()) || !has(schedule.Hour, now.Hour()) || !has(schedule.Month, int(now.Month())) {
		return false
	}
	dom, dow := has(schedule.Dom, now.Day()), has(schedule.Dow, int(now.Weekday()))
	if schedule.Dom&star != 0 || schedule.Dow&star != 0 {
		return dom && dow
	}
	return dom || dow
}
