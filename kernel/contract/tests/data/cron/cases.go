package main

// request is a case that a vector is made of.
type request struct {
	schedule, annotation, timezone, after string
	// refused: we do not take the text.
	refused bool
	// same is what a text that robfig refuses means, as robfig reads it.
	same string
	// why gives the reason where we differ on purpose.
	why string
}

const winter, summer = "2025-01-15T10:30:00Z", "2025-06-30T23:59:59Z"

// wanted are all cases.
func wanted() []request {
	all := slicesOf(dialect, winter, summer)
	all = append(all, clockChanges()...)
	all = append(all, zones...)
	all = append(all, every...)
	all = append(all, different...)
	all = append(all, refusedByBoth()...)
	return append(all, recorded()...)
}

func slicesOf(schedules []string, times ...string) []request {
	var all []request
	for _, schedule := range schedules {
		for _, after := range times {
			all = append(all, request{schedule: schedule, after: after})
		}
	}
	return all
}

// dialect is what both read alike, without a zone.
var dialect = []string{
	// Fields, lists, ranges, steps.
	"* * * * *", "0 * * * *", "*/15 * * * *", "0 9 * * *", "00 09 * * *", "30 2 * * 1-5", "0 0 1 * *", "0 12 1,15 * *",
	"5,10,15 8-10 * * *", "5/15 * * * *", "10-50/20 6 * * *", "0 0-23/6 * * *", "0 22/1 * * *", "59 23 31 12 *",
	"0 0 31 * *", "0 0 29 2 *", "0 6 */10 * *", "15 3 1-7 * *", "0 0 10-20/5 1,4,7,10 *", "7 4 8 */3 *", "0 0 1 5/3 *",
	"  0   9\t*  *   * ", "0 9 * * 1,3,5", "0-10/3,30-40/5 1 * * *", "*/90 * * * *", "0 */7 * * *", "1-1 2-2 3-3 4-4 *",
	"0,0 9,9 * * *", "59/1 23/1 31/1 12/1 *", "*/59 */23 * * *", "0 0 */31 * *", "0 0 1 */12 *",
	// Names.
	"0 9 * JAN *", "0 9 * jan-mar MON", "0 9 * * mon-fri", "0 9 * Feb,Nov Sat,sUN", "0 9 * oct/1 *", "0 9 * * sun-tue/2",
	"0 9 * * fri/1", "0 0 1 jan-dec/2 *",
	// Sunday, and steps in the day of week.
	"0 9 * * 0", "0 9 * * 0,6", "0 9 * * 0-6", "0 9 * * */2", "0 9 * * 5/2", "0 9 * * 1-5/2",
	// Question marks are stars.
	"? * * * *", "0 ? * * *", "0 9 ? * ?", "0 9 ? * 1", "0 9 1 * ?", "?/20 ?/6 * ? *",
	// Both days: either is enough, unless one is a star; a step takes the star away, but /1 does not.
	"0 9 1 * 1", "0 9 13 * 5", "0 9 1-7 * 1", "0 9 */2 * 1", "0 9 */1 * 1", "0 9 ?/1 * 1", "0 9 1 * */1", "0 9 1 * */2",
	"0 9 ?/2 * 1", "0 9 1-31 * 1", "0 9 1/1 * 1", "0 9 15 * 0-6", "0 9 29 2 1", "0 0 30 2 1", "0 9 */8 2 */5", "0 9 1 * ?/3",
	// Dates that never come.
	"0 0 30 2 *", "0 0 31 4,6,9,11 *", "*/5 * 30,31 2 ?",
	// Descriptors.
	"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly",
}

// clockChanges are schedules around both changes of a year, which are at or before the second of the two times.
func clockChanges() []request {
	var all []request
	for _, change := range []struct {
		timezone  string
		times     []string
		schedules []string
	}{
		{"Europe/Berlin", []string{"2025-03-29T12:00:00Z", "2025-03-30T00:59:59Z", "2025-10-25T12:00:00Z", "2025-10-26T00:30:00Z"}, []string{
			"30 2 * * *", "0 3 * * *", "0,30 2 * * *", "0 1,2,3 * * *", "*/20 2 * * *", "0 * * * *", "*/30 * * * *", "0 */2 * * *",
			"15 0-23 * * *", "30 2 * * 0", "0 12 * * *", "@daily", "@hourly",
		}},
		{"America/New_York", []string{"2025-03-08T12:00:00Z", "2025-03-09T06:45:00Z", "2025-11-01T12:00:00Z", "2025-11-02T05:30:00Z"}, []string{
			"30 1 * * *", "30 2 * * *", "0,15,30,45 1 * * *", "*/15 1 * * *", "5 */1 * * *", "0 2 * * 0", "10-20/5 2 * * *",
			"0 1,2,3 * * *", "0 0 * * *", "30 2 9 3 *", "* 1 * * *",
		}},
		{"Australia/Lord_Howe", []string{"2025-10-04T10:00:00Z", "2025-10-04T15:29:00Z", "2025-04-05T10:00:00Z", "2025-04-05T14:45:00Z"}, []string{
			"15 2 * * *", "30 2 * * *", "45 1 * * *", "0,15,30,45 1,2 * * *", "*/15 * * * *", "0 * * * *", "20 */2 * * *", "0 2 * * 0",
		}},
		{"America/Sao_Paulo", []string{"2018-11-03T12:00:00Z", "2018-02-17T12:00:00Z", "2018-02-18T01:30:00Z"}, []string{
			"0 0 * * *", "30 0 * * *", "30 23 * * *", "0 0 4 11 *", "0,30 23 * * 6", "*/30 * * * *", "0 */3 * * *", "@daily", "@weekly",
		}},
		{"Asia/Beirut", []string{"2024-03-30T12:00:00Z", "2024-10-26T12:00:00Z", "2024-10-26T20:30:00Z"}, []string{
			"0 0 * * *", "30 0 * * 0", "30 23 * * *", "0 * * * *", "*/20 0 * * *", "@midnight",
		}},
		{"Pacific/Apia", []string{"2011-12-28T20:00:00Z", "2011-12-30T09:30:00Z"}, []string{
			"0 8 * * *", "0 0 * * *", "0 12 30 12 *", "30 9 * * 5", "0 */6 * * *", "@hourly",
		}},
		{"Antarctica/Troll", []string{"2025-03-29T12:00:00Z", "2025-10-25T12:00:00Z", "2025-10-26T00:10:00Z"}, []string{
			"30 1 * * *", "0 1,2,3 * * *", "*/40 2 * * *",
		}},
		{"Europe/Dublin", []string{"2025-03-29T23:00:00Z", "2025-10-25T23:00:00Z"}, []string{"30 1 * * *", "*/30 1 * * *"}},
		// No change, half an hour and three quarters off.
		{"Asia/Kolkata", []string{winter}, []string{"0 9 * * *", "*/30 * * * *", "@daily"}},
		{"Asia/Kathmandu", []string{winter}, []string{"0 9 * * *", "0 * * * *"}},
	} {
		for _, schedule := range change.schedules {
			for _, after := range change.times {
				all = append(all, request{schedule: schedule, timezone: change.timezone, after: after})
			}
		}
	}
	return all
}

// zones stand in the schedule, before that of the annotation.
var zones = []request{
	{schedule: "CRON_TZ=Europe/Berlin 0 9 * * *", after: winter},
	{schedule: "TZ=Europe/Berlin 0 9 * * *", after: summer},
	{schedule: "TZ=UTC 0 9 * * *", after: winter},
	{schedule: "CRON_TZ=Asia/Tokyo 30 5 * * MON-FRI", timezone: "America/New_York", after: winter},
	{schedule: "TZ=America/New_York   0 9 ? * 1", timezone: "Europe/Berlin", after: summer},
	{schedule: "CRON_TZ=America/Los_Angeles @daily", after: winter},
	{schedule: "TZ=Etc/GMT+5 @weekly", after: winter},
	{schedule: "TZ=America/Argentina/Buenos_Aires @hourly", after: winter},
	{schedule: "CRON_TZ=Asia/Kathmandu @monthly", after: summer},
	{schedule: "TZ=Africa/Casablanca 30 2 * * *", after: "2025-02-22T12:00:00Z"},
	{schedule: "TZ=Africa/Casablanca 0 2 * * *", after: "2025-04-05T12:00:00Z"},
	{schedule: "TZ=US/Eastern 0 0 1 1 *", after: winter},
}

const epoch = "@every counts from the Unix epoch, not from when the schedule was seen"

var every = []request{
	{schedule: "@every 1s", after: winter},
	{schedule: "@every 5m", after: winter},
	{schedule: "@every 5m", after: "2025-01-15T10:32:10Z", why: epoch},
	{schedule: "@every 1h30m", after: winter, why: epoch},
	{schedule: "@every 1.5h", after: "2025-01-15T00:00:00Z"},
	{schedule: "@every 90s", after: winter, why: epoch},
	{schedule: "@every 7s", after: winter, why: epoch},
	{schedule: "@every 1500ms", after: winter},
	{schedule: "@every 2m0s", after: summer, why: epoch},
	{schedule: "@every 24h", after: winter, why: epoch},
	{schedule: "@every 168h", after: winter, why: epoch},
	{schedule: "CRON_TZ=Europe/Berlin @every 6h", after: "2025-03-29T18:00:00Z"},
	{schedule: "@every 1h", timezone: "Europe/Berlin", after: "2025-10-25T22:00:00Z"},
	{schedule: "@every 0h0m10s", after: winter},
	{schedule: "@every .5m", after: winter},
}

// different is what only one of the two reads, or another horizon.
var different = []request{
	{schedule: "0 9 * * 7", after: winter, same: "0 9 * * 0", why: "7 is Sunday too"},
	{schedule: "0 9 * * 5-7", after: winter, same: "0 9 * * 5,6,0", why: "7 is Sunday too"},
	{schedule: "0 9 * * fri-sun", after: winter, same: "0 9 * * 5,6,0", why: "a range may end with Sunday"},
	{schedule: "0 9 * * 1,7", after: summer, same: "0 9 * * 0,1", why: "7 is Sunday too"},
	{schedule: "nightly=0 2 * * *", after: winter, same: "0 2 * * *", why: "a name may stand before"},
	{schedule: "n.1=TZ=Asia/Tokyo @daily", after: winter, same: "TZ=Asia/Tokyo @daily", why: "a name may stand before"},
	{schedule: "0 0 29 2 *", after: "2097-01-01T00:00:00Z", why: "robfig looks five years ahead"},
	{schedule: "*,5 * * * *", after: winter, refused: true, why: "a star stands alone in its list"},
	{schedule: "0 9 1,* * *", after: winter, refused: true, why: "a star stands alone in its list"},
	{schedule: "0 9 * * 1,,3", after: winter, refused: true, why: "an empty value in a list"},
	{schedule: "0 9 * * *,", after: winter, refused: true, why: "an empty value in a list"},
	{schedule: ", 9 * * *", after: winter, refused: true, why: "an empty value in a list"},
	{schedule: "*/10000 * * * *", after: winter, refused: true, why: "a step of more than four digits"},
	{schedule: "+5 9 * * *", after: winter, refused: true, why: "a sign before a number"},
	{schedule: "*-5 9 * * *", after: winter, refused: true, why: "a star as the beginning of a range"},
	{schedule: "@every 10ms", after: winter, refused: true, why: "less than a second"},
	{schedule: "@every -5m", after: winter, refused: true, why: "a negative interval"},
	{schedule: "@every 0s", after: winter, refused: true, why: "no interval"},
	{schedule: "TZ=Local 0 9 * * *", after: winter, refused: true, why: "the process has no zone of its own"},
	{schedule: "TZ= 0 9 * * *", after: winter, refused: true, why: "a zone without a name"},
}

func refusedByBoth() []request {
	all := slicesOf([]string{
		"60 * * * *", "0 24 * * *", "0 0 0 * *", "0 0 32 * *", "0 0 1 0 *", "0 0 1 13 *", "0 0 * * 8", "0 9 * * 5-1", "30-10 * * * *",
		"*/0 * * * *", "1-2-3 * * * *", "*/5/5 * * * *", "0 9 * *", "0 0 9 * * *", "0 9 L * *", "0 9 15W * *", "0 9 * * 5#2", "0 9 * * 5L",
		"MON 9 * * *", "0 9 * MON *", "0 9 * * JAN", "0 9 * * MONDAY", "-1 9 * * *", "@reboot", "@Daily", "@every", "@every 5", "@every 1d",
		"TZ=Mars/Olympus 0 9 * * *", "TZ=UTC", "CRON_TZ=Europe/Berlin", "0 9 * * *,30 2 * *", "1.5 * * * *", "five * * * *",
	}, winter)
	for i := range all {
		all[i].refused = true
	}
	return all
}

// recorded is the annotation that the client writes for a workflow with two cron triggers.
func recorded() []request {
	const why, annotation = "an annotation may hold several schedules", "0 2 * * *,*/15 9-17 * * 1,3,5"
	var all []request
	for _, schedule := range []string{"0 2 * * *", "*/15 9-17 * * 1,3,5"} {
		for _, timezone := range []string{"", "Europe/Berlin"} {
			for _, after := range []string{winter, "2025-03-29T23:30:00Z"} {
				all = append(all, request{schedule: schedule, annotation: annotation, timezone: timezone, after: after, why: why})
			}
		}
	}
	return all
}
