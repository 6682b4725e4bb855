/* What a password must be: long enough, and not one that is tried first.
 *
 * Lists of leaked passwords are mostly a few hundred words, names and key patterns with digits behind them, letters
 * swapped for digits, or written twice. So the roots are listed here, and a password is reduced to its root: one entry
 * stands for the hundreds that are made from it. A phrase of several words reduces to none of them. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "auth/password.h"
#include "base/utf8.h"

static const char *const roots[] = {
	/* what people call it */
	"pass",       "passw",        "passwd",      "password",      "passwords",   "passwort",
	"parola",     "parole",       "senha",       "contrasena",    "motdepasse",  "secret",
	"private",    "access",       "login",       "logon",         "signin",      "welcome",
	"letmein",    "letmeinnow",   "opensesame",  "changeme",      "changeit",    "changethis",
	"changenow",  "default",      "temp",        "temporary",     "test",        "testing",
	"tester",     "testtest",     "demo",        "example",       "sample",      "guest",
	"user",       "username",     "admin",       "administrator", "adminadmin",  "root",
	"toor",       "superuser",    "supervisor",  "manager",       "master",      "operator",
	"service",    "system",       "server",      "database",      "oracle",      "postgres",
	"mysql",      "sql",          "ubuntu",      "debian",        "linux",       "windows",
	"microsoft",  "google",       "apple",       "android",       "cisco",       "internet",
	"computer",   "network",      "security",    "secure",        "securepass",  "mypassword",
	"mypass",     "yourpassword", "thepassword", "nopassword",    "newpassword", "oldpassword",
	"passpass",   "passphrase",   "passcode",    "enter",         "hello",       "hellohello",
	"helloworld", "hi",           "goodbye",     "please",        "thankyou",    "whatever",
	"nothing",    "something",    "anything",    "trustno",       "iloveyou",    "iloveu",
	"loveyou",    "loveme",       "love",        "lovely",        "lover",       "lovers",
	"mylove",     "iloveme",      "ihateyou",    "fuckyou",       "fuckme",      "fuckoff",
	"fuck",       "asshole",      "bitch",       "pussy",         "sexy",        "sex",
	"killer",     "hacker",       "haxor",       "matrix",        "ninja",       "pirate",
	"samurai",    "warrior",      "soldier",     "gangster",      "legend",      "monster",
	"freedom",    "liberty",      "jesus",       "jesuschrist",   "christ",      "god",
	"godisgood",  "angel",        "angels",      "heaven",        "devil",       "satan",
	"lucifer",    "blessed",      "faith",       "hope",          "peace",       "happy",
	"smile",      "forever",      "friend",      "friends",       "family",      "mother",
	"father",     "mommy",        "daddy",       "brother",       "sister",      "baby",
	"babygirl",   "babyboy",      "princess",    "prince",        "queen",       "king",
	"sweet",      "sweety",       "sweetheart",  "honey",         "sugar",       "candy",
	"cookie",     "cookies",      "chocolate",   "cheese",        "banana",      "orange",
	"apples",     "cherry",       "strawberry",  "lemon",         "pepper",      "ginger",
	"peanut",     "coffee",       "pizza",       "butter",        "bubbles",     "sunshine",
	"sunflower",  "flower",       "flowers",     "rainbow",       "summer",      "winter",
	"spring",     "autumn",       "monday",      "friday",        "sunday",      "january",
	"february",   "march",        "april",       "june",          "july",        "august",
	"september",  "october",      "november",    "december",      "snow",        "thunder",
	"lightning",  "storm",        "ocean",       "river",         "mountain",    "earth",
	"star",       "stars",        "starwars",    "startrek",      "skywalker",   "yoda",
	"galaxy",     "moon",         "moonlight",   "midnight",      "shadow",      "ghost",
	"phoenix",    "dragon",       "dragons",     "dragonball",    "tiger",       "tigers",
	"lion",       "panther",      "eagle",       "eagles",        "falcon",      "hawk",
	"wolf",       "wolves",       "bear",        "bears",         "monkey",      "monkeys",
	"gorilla",    "horse",        "horses",      "mustang",       "pony",        "unicorn",
	"dolphin",    "dolphins",     "shark",       "turtle",        "spider",      "spiderman",
	"scorpion",   "rabbit",       "kitty",       "kitten",        "hellokitty",  "puppy",
	"doggy",      "dog",          "cat",         "fish",          "chicken",     "bulldog",
	"panda",      "penguin",      "butterfly",   "superman",      "batman",      "ironman",
	"hulk",       "joker",        "pokemon",     "pikachu",       "naruto",      "mario",
	"zelda",      "minecraft",    "fortnite",    "roblox",        "xbox",        "playstation",
	"nintendo",   "starcraft",    "warcraft",    "diablo",        "counter",     "gamer",
	"player",     "football",     "soccer",      "baseball",      "basketball",  "softball",
	"hockey",     "tennis",       "golf",        "golfer",        "swimming",    "runner",
	"boxing",     "wrestling",    "liverpool",   "arsenal",       "chelsea",     "manchester",
	"manutd",     "barcelona",    "realmadrid",  "juventus",      "milan",       "inter",
	"bayern",     "yankees",      "lakers",      "cowboys",       "steelers",    "packers",
	"redsox",     "ferrari",      "porsche",     "mercedes",      "bmw",         "audi",
	"toyota",     "honda",        "corvette",    "camaro",        "harley",      "yamaha",
	"suzuki",     "ducati",       "guitar",      "music",         "rock",        "rockstar",
	"metal",      "metallica",    "nirvana",     "slipknot",      "eminem",      "beatles",
	"elvis",      "prodigy",      "dance",       "dancer",        "london",      "paris",
	"berlin",     "newyork",      "boston",      "chicago",       "dallas",      "texas",
	"florida",    "california",   "america",     "american",      "england",     "scotland",
	"ireland",    "france",       "germany",     "brazil",        "brasil",      "mexico",
	"canada",     "australia",    "india",       "pakistan",      "china",       "japan",
	"russia",     "africa",       "portugal",    "argentina",     "colombia",    "poland",
	"polska",     "italia",       "espana",      "michael",       "jennifer",    "jessica",
	"ashley",     "amanda",       "nicole",      "michelle",      "daniel",      "david",
	"andrew",     "joshua",       "matthew",     "thomas",        "robert",      "william",
	"charlie",    "charles",      "george",      "richard",       "james",       "john",
	"johnny",     "jordan",       "justin",      "hunter",        "taylor",      "tyler",
	"brandon",    "austin",       "anthony",     "alexander",     "alex",        "alexis",
	"samantha",   "sarah",        "sophie",      "maria",         "anna",        "andrea",
	"angela",     "melissa",      "stephanie",   "elizabeth",     "victoria",    "vanessa",
	"patrick",    "steven",       "kevin",       "brian",         "jason",       "martin",
	"peter",      "nicholas",     "jonathan",    "christian",     "christine",   "carlos",
	"fernando",   "roberto",      "ricardo",     "alejandro",     "sebastian",   "maggie",
	"bailey",     "buster",       "harley",      "lucky",         "max",         "molly",
	"oliver",     "oscar",        "jack",        "jackson",       "sam",         "sammy",
	"scooter",    "snoopy",       "garfield",    "mickey",        "tigger",      "barney",
	"donald",     "homer",        "bart",        "simpson",       "trinity",     "merlin",
	"gandalf",    "frodo",        "hobbit",      "harrypotter",   "hogwarts",    "voldemort",
	"dumbledore", "silver",       "golden",      "gold",          "diamond",     "crystal",
	"purple",     "yellow",       "green",       "blue",          "red",         "black",
	"white",      "pink",         "blackjack",   "poker",         "casino",      "lucky",
	"winner",     "champion",     "number",      "numberone",     "letter",      "money",
	"cash",       "dollar",       "bitcoin",     "ethereum",      "crypto",      "blockchain",
	"satoshi",    "wallet",       "chainwatch",  "company",       "business",    "office",
	"school",     "college",      "student",     "teacher",       "doctor",      "police",
	"fire",       "water",        "power",       "energy",        "magic",       "mystery",
	"dream",      "dreamer",      "dreams",      "paradise",      "destiny",     "fantasy",
	"maverick",   "ranger",       "rangers",     "raider",        "raiders",     "trooper",
	"wizard",     "vampire",      "zombie",      "alien",         "robot",       "cyber",
	"digital",    "online",       "website",     "facebook",      "youtube",     "twitter",
	"instagram",  "linkedin",     "yahoo",       "hotmail",       "gmail",       "myspace",
	"photoshop",  "adobe",        "samsung",     "nokia",         "iphone",      "abc",
	"abcabc",     "aaa",          "xxx",         "zzz",           "asdf",        "asdfasdf",
	"qwer",       "qwert",        "qwerty",      "qwertyqwerty",  "qwertz",      "azerty",
	"zxcv",       "qazwsx",       "qazwsxedc",   "wsxedc",        "qaz",         "wsx",
	"edc",        "zaq",          "zaqwsx",      "qweasd",        "qweasdzxc",   "qwe",
	"asd",        "zxc",          "poiuyt",      "lkjhgf",        "mnbvcx",      "dvorak",
	"blink",      "thx",          "ncc",         "mobilemail",    "monkeybutt",  NULL,
};

/* Walks over a keyboard, and counting. A password that is a piece of one (or of its mirror image) is a pattern. */
static const char *const walks[] = {
	"012345678901234567890",
	"abcdefghijklmnopqrstuvwxyzabcdef",
	"qwertyuiopasdfghjklzxcvbnm",
	"qwertzuiopasdfghjklyxcvbnm",
	"azertyuiopqsdfghjklmwxcvbn",
	"1q2w3e4r5t6y7u8i9o0p",
	"q1w2e3r4t5y6u7i8o9p0",
	"1qaz2wsx3edc4rfv5tgb6yhn7ujm",
	"qazwsxedcrfvtgbyhnujm",
	"zaq12wsxcde34rfv",
	"zaq1xsw2cde3vfr4",
	"1a2s3d4f5g6h",
	"a1b2c3d4e5f6g7h8",
	"a1s2d3f4g5h6",
	"1qazxsw23edcvfr4",
	"!qaz@wsx#edc$rfv",
	"asdfjkl;asdfjkl;",
	"147258369147258369",
	"159753159753",
	"741852963",
	"789456123",
	"123654789",
	"!@#$%^&*()!@#",
	NULL,
};

static char unleet(char c)
{
	static const char from[] = "@4831!|0$57+", to[] = "aabeiiiosstt";
	const char *at = strchr(from, c);

	return c != '\0' && at != NULL ? to[at - from] : c;
}

static bool is_root(const char *text, size_t len)
{
	char plain[64];
	bool leet = false;

	if (len == 0 || len >= sizeof(plain))
		return false;
	for (size_t i = 0; i < len; i++) {
		plain[i] = unleet(text[i]);
		leet = leet || plain[i] != text[i];
	}
	for (int i = 0; roots[i] != NULL; i++) {
		size_t n = strlen(roots[i]);

		if ((n == len && (memcmp(roots[i], text, n) == 0 || (leet && memcmp(roots[i], plain, n) == 0))) ||
		    (2 * n == len && memcmp(roots[i], plain, n) == 0 && memcmp(roots[i], plain + n, n) == 0))
			return true;
	}
	return false;
}

/* The same few characters over and over: "aaaaaaaa", "abcabcabc". */
static bool repeats(const char *text, size_t len)
{
	for (size_t period = 1; period <= 4 && 2 * period <= len; period++)
		if (memcmp(text, text + period, len - period) == 0)
			return true;
	return false;
}

static bool is_walk(const char *text, size_t len)
{
	char back[129];

	if (len < 4 || len >= sizeof(back))
		return false;
	for (size_t i = 0; i < len; i++)
		back[i] = text[len - 1 - i];
	for (int i = 0; walks[i] != NULL; i++)
		if (memmem(walks[i], strlen(walks[i]), text, len) != NULL ||
		    memmem(walks[i], strlen(walks[i]), back, len) != NULL)
			return true;
	return false;
}

/* Digits and signs around a root or a pattern do not make it another one. */
static bool is_common(const char *text, size_t len)
{
	size_t from = 0, to = len;

	if (repeats(text, len) || is_walk(text, len) || is_root(text, len))
		return true;
	while (to > 0 && !isalpha((unsigned char)text[to - 1]))
		to--;
	if (is_root(text, to) || (to >= 4 && len - to <= 4 && is_walk(text, to)))
		return true;
	while (from < to && !isalpha((unsigned char)text[from]))
		from++;
	return is_root(text + from, to - from) ||
	       (to - from >= 4 && len - (to - from) <= 4 && is_walk(text + from, to - from));
}

static bool is_account(const char *text, size_t len, const char *email)
{
	size_t local = strcspn(email, "@");

	return (strlen(email) == len && strncasecmp(email, text, len) == 0) ||
	       (local == len && strncasecmp(email, text, len) == 0);
}

const char *cw_password_fault(const struct cw_password_conf *conf, const char *text, size_t len, const char *email)
{
	static _Thread_local char message[80];
	char lower[CW_PASSWORD_MAX + 1];
	int64_t characters = 0;

	if (len > CW_PASSWORD_MAX)
		return "is too long: at most 1024 bytes";
	if (cw_utf8_check(text, len) != len || memchr(text, '\0', len) != NULL)
		return "is not text";
	for (size_t i = 0; i < len; i++) {
		lower[i] = (char)tolower((unsigned char)text[i]);
		characters += ((unsigned char)text[i] & 0xc0) != 0x80;
	}
	if (characters < conf->min_length) {
		snprintf(message, sizeof(message), "is too short: at least %lld characters", (long long)conf->min_length);
		return message;
	}
	if (is_common(lower, len))
		return "is too common: it is among those that are tried first";
	if (email != NULL && email[0] != '\0' && is_account(text, len, email))
		return "must not be the e-mail address";
	return NULL;
}
