"""Snippets of the template language with what Python's jinja2 makes of them.

usage: make_snippets.py > snippets.jsonl      (needs jinja2 3.1.6: python3 -m venv v && v/bin/pip install jinja2==3.1.6)

First row: the variables. Other rows: {t: template, e: expected text} or {t, x: 1} where jinja2 raises an error. jinja2 is
set up as transformers does; the clock is 2025-06-15 12:00.
"""
import datetime
import json

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = datetime.datetime(2025, 6, 15, 12, 0, 0)
def raise_exception(m): raise jinja2.exceptions.TemplateError(m)
def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
class Generation(jinja2.ext.Extension):
    tags = {"generation"}
    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)
    def _body(self, caller): return caller()
env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
env.filters["tojson"] = tojson
env.globals["raise_exception"] = raise_exception
env.globals["strftime_now"] = lambda f: NOW.strftime(f)

CTX = {"s": "Hello, World", "u": "naïve Ünïcode ß ǅ 日本語 😀 İi", "e": "", "ws": " \t a b\u00a0c \n", "n": 7, "neg": -3, "f": 2.5, "big": 1e20, "tiny": 1.5e-7, "t": True, "fl": False, "nul": None,
       "l": [3, 1, 2], "ls": ["b", "A", "c", "a"], "d": {"b": 1, "a": 2, "C": 3, "items": 9}, "m": [{"role": "user", "content": "hi", "n": 2}, {"role": "assistant", "content": None, "n": 1}, {"role": "user", "content": "yo", "n": 2, "x": {"y": [1, 2]}}],
       "lines": "one\n two\n\nthree\r\nfour", "q": "it's \"q\" <b>&</b> \\ \x01 \u2028 é", "nested": {"a": [1, 2.0, None, True, "x'y"], "b": {"c": {}}, "d": []}, "mix": [1, "a", None, 2.5, [1], {"k": "v"}]}
E = """
s|upper; s|lower; u|upper; u|lower; u|title; u|capitalize; s|title; "hello-world foo(bar) [x] {y} <z> it's"|title; "hello-world it's x1y"  .title(); u.title(); u.swapcase(); u.casefold(); u.capitalize(); "ΑΣ ΑΣΑ ΣΑΣ"|lower
s|length; u|length; e|length; l|length; d|length; undefd|length; n|length; nul|length; range(5)|length; (l|select)|length
s|first; s|last; e|first; l|first; l|last; d|first; d|last; undefd|first; undefd|last; (l|select)|last; range(3)|last; nul|first
s|reverse; l|reverse|list; l|reverse; d|reverse|list; u|reverse; (l|reverse)|join(',')
s|replace('o','0'); s|replace('o','0',1); s|replace('','-'); s|replace('','-',3); n|replace(7,8); u|replace('日','J'); s.replace('l','LL',2); s.replace('zz','y'); s.replace('o', 5)
ws|trim; ws|trim(' \\t'); 'xxaxx'|trim('x'); n|trim; nul|trim; undefd|trim; ws.strip(); ws.lstrip(); ws.rstrip(); 'abcba'.strip('ab'); 'abc'.strip(None); 'abcd'.lstrip('ba'); 'abcd'.rstrip('dc'); l.strip()
s.split(', '); ws.split(); ws.split(None, 1); 'a,b,,c'.split(','); 'a,b,,c'.split(',', 1); 'a,b,c'.rsplit(',', 1); ' a  b  c '.rsplit(None, 1); ''.split(); ''.split(','); 'abc'.split(''); lines.splitlines(); lines.splitlines(true); 'a,b'.split(sep=','); 'a b c'.split(maxsplit=1); 'abc'.split('</think>')[-1]; 'x</think>y'.split('</think>')[0].split('<think>')[-1]
'abc'.partition('b'); 'abc'.rpartition('z'); 'abcbd'.rpartition('b'); 'abc'.partition('')
s.startswith('He'); s.startswith(('x','He')); s.endswith('ld'); s.startswith('World', 7); s.endswith('lo', 0, 5); s.startswith(5); s.startswith(''); s.startswith('', 20); s.find('o'); s.rfind('o'); s.find('zz'); s.index('W'); s.index('zz'); s.count('l'); s.count(''); u.find('日'); u.count('ï'); s.find('o', 5); s.find('o', -5, -1); s.count('l', 4); s.rindex('l')
'-'.join(ls); ', '.join([1]); ''.join('abc'); ','.join(d); l|join; l|join('-'); m|join(',', attribute='role'); m|join(attribute='content'); mix|join('|'); e|join(','); undefd|join(','); d|join(','); nul|join
'abc'.upper().lower(); 'abc'.isdigit(); '123'.isdigit(); '１２'.isdigit(); '²'.isdigit(); '²'.isdecimal(); '½'.isnumeric(); 'aB1'.isalnum(); ''.isalpha(); 'é'.isalpha(); ' \\t'.isspace(); 'ABC'.isupper(); 'aBC'.isupper(); '1a'.islower(); '日'.islower(); 'Ab Cd'.istitle(); 'AbC'.istitle(); 'a_1'.isidentifier(); '1a'.isidentifier(); 'a\\n'.isprintable(); 'é'.isascii(); ''.isascii(); '1'.istitle()
'ab'.ljust(5)~'|'; 'ab'.rjust(5, '*'); 'ab'.center(7, '-'); 'abc'.center(6, '-'); 'ab'.center(5,'-'); '-5'.zfill(4); '+5'.zfill(4); 'x'.zfill(3); 'a\\tb'.expandtabs(4); s|center(20)~'|'; 'ab'.ljust(5,'xy'); 'foobar'.removeprefix('foo'); 'foobar'.removesuffix('bar'); 'foobar'.removesuffix('foo')
s[0]; s[-1]; s[100]; s[1:4]; s[::-1]; s[::2]; s[-3:]; s[:-3]; s[5:2]; s[10:2:-2]; u[3:8]; u[-4:-1]; l[0]; l[-1]; l[5]; l[1:]; l[::-1]; l[:1]; l[::0]; d['a']; d['zz']; d.a; d.zz; d.items; d['items']; (1,2,3)[1:]; (1,2,3)[::-1]; range(10)[2:5]|list; range(10)[-1]; nul[0]; nul.x; n.x; n[0]; undefd[0]; undefd.x; s['upper']; s.upper; m[0].role; m[0]['role']; m[2].x.y[1]; m[2].x.y.1; s.0; l['x']; d[nul]; d[[1]]; s[1.5]; s[true]; l[100:200]; l[-100:2]; s[None:2]
1+2; 1-2; 2*3; 7/2; 6/2; 7//2; -7//2; 7//-2; 7%3; -7%3; 7%-3; 2**10; 2**-1; 2**0.5; 7.5//2; -7.5//2; 7.5%2; -7.5%2; 1/0; 1//0; 1%0; 1.0/0; 1e308*10; -2**2; (-2)**2; 2**3**2; -n; +n; -f; --n; +t; -t; not n; true+true; true*3; 1+2.0; 'a'+'b'; 'a'*3; 3*'a'; 'a'*-1; 'a'+1; 1+'a'; l+[4]; l*2; (1,)+(2,); l+(1,); 'a'-'b'; nul+1; undefd+1; 1+undefd; 'x'+undefd; 9223372036854775807; 0x1f; 0b101; 0o17; 1_000; 1e3; 1.5e-3; 1_0.5; 5.0; 100000000000000000.0; 1e16; 1e15; 123456789012345678; 0.1+0.2; 1e-4; 1e-5; 3.14159265358979; -0.0; 1.0*3
1 ~ 2; 'a' ~ nul ~ true ~ 1.0; l ~ d; undefd ~ 'x'; 1 + 1 ~ 2 * 3; 'a' ~ 'b' + 'c'; 1 ~ -1
1 == 1.0; true == 1; 'a' == 'a'; 'a' == 1; nul == none; undefd == undefd2; undefd == nul; l == [3,1,2]; (1,2) == [1,2]; d == {'a':2,'b':1,'C':3,'items':9}; 1 < 2; 1 < 2 < 3; 3 > 2 > 2; 'a' < 'b'; 'a' < 1; [1,2] < [1,3]; [1] < [1,0]; nul < 1; undefd < 1; 1 != 2; 1 <= 1.0; true > false; 'Z' < 'a'; 'é' > 'z'; (1,'a') < (1,'b'); 1 < 'a' == false; 1 == 1 == 1; {} == {}; [] == none; range(3) == range(0,3)
1 in l; 9 in l; 'a' in d; 'zz' in d; 'ell' in s; 1 in s; 'x' not in s; 1 not in l; nul in mix; 'a' in undefd; 'a' in nul; 'a' in 5; [1] in mix; 2 in range(5); 'x' in 'x'; '' in s; ('b', 1) in d.items(); 'b' in d.keys(); 2 in d.values(); undefd in l; 1 in d; [1] in d; 2.0 in l; 'role' in m[0]; 2.5 in range(5); true in [1]
n and s; e and s; n or s; e or 'd'; not e; not not e; true and false or true; nul or undefd or 'z'; n if t else s; n if fl else s; n if fl; (n if fl) is defined; 'a' if t else 'b' if t else 'c'; 1 if e else 2 if nul else 3; not t == fl; not n in l
undefd is defined; n is defined; undefd is undefined; nul is none; undefd is none; s is string; n is string; n is number; t is number; f is number; n is integer; t is integer; f is float; n is float; t is boolean; n is boolean; d is mapping; l is mapping; l is sequence; s is sequence; d is sequence; n is sequence; undefd is sequence; range(3) is sequence; d.items() is sequence; (l|select) is sequence; l is iterable; s is iterable; n is iterable; nul is iterable; undefd is iterable; d is iterable; t is true; 1 is true; fl is false; 0 is false; n is odd; n is even; f is odd; s is odd; 6 is divisibleby 3; 6 is divisibleby(4); n is eq 7; n is equalto 7; n is ne 8; n is lt 8; n is gt 6; n is ge 7; n is le 7; n is greaterthan 6; n is lessthan 6; n is in [7,8]; 'a' is in 'abc'; n is sameas n; nul is sameas none; t is sameas true; 1 is sameas true; s is callable; range is callable; s.upper is callable; undefd is callable; s is upper; 'abc' is lower; 'ABC' is upper; n is lower; n is not odd; undefd is not defined; n is not none and s is string; 'upper' is filter; 'zzz' is filter; 'odd' is test; n is zzz; s|safe is escaped; n is number is string; undefd.x is defined; d.zz is defined; d.zz.y is defined; nul.x is defined; (n is defined) == true; not n is defined
l|sort; ls|sort; ls|sort(case_sensitive=true); ls|sort(reverse=true); m|sort(attribute='n')|map(attribute='content')|list; m|sort(attribute='n,role')|map(attribute='role')|list; mix|sort; d|sort; [[2,1],[1,2]]|sort; ls|unique|list; ['a','A','b']|unique|list; ['a','A']|unique(case_sensitive=true)|list; m|unique(attribute='role')|map(attribute='n')|list; [1,1.0,true,'1']|unique|list; [[1],[1]]|unique|list; l|min; l|max; ls|min; ls|max; []|min; []|max is defined; m|max(attribute='n'); mix|max; s|min; ls|max(case_sensitive=true)
l|sum; []|sum; m|sum(attribute='n'); l|sum(start=10); ls|sum; [[1],[2]]|sum(start=[]); [1.5,2]|sum
m|map(attribute='role')|list; m|map(attribute='zz')|list; m|map(attribute='zz', default='q')|list; m|map(attribute='x.y.0', default='q')|list; m|map(attribute='content', default='q')|list; ls|map('upper')|list; ls|map('replace','a','x')|join; l|map('string')|join('+'); undefd|map('upper')|list; nul|map('upper')|list; n|map('upper')|list; ls|map('zzz')|list; l|map|list; l|map(attribute=0)|list; ['ab','cd']|map('first')|list; ls|map('upper'); m|map('attr','role')|list
l|select('odd')|list; l|select|list; [0,1,'',none]|select|list; l|reject('odd')|list; [0,1]|reject|list; l|select('gt',1)|list; m|selectattr('role','equalto','user')|list|length; m|selectattr('x')|list|length; m|rejectattr('role','eq','user')|map(attribute='role')|list; m|selectattr('x','defined')|list|length; m|rejectattr('content','none')|list|length; m|selectattr('role','in',['user'])|list|length; m|selectattr('role')|first; undefd|selectattr('role')|list; m|selectattr|list; l|select('zzz')|list; (l|select('gt',5)) and 'yes'; m|selectattr('x.y')|list|length
d|dictsort; d|dictsort(true); d|dictsort(false,'value'); d|dictsort(reverse=true); d|dictsort(by='zz'); {1:'a','b':2}|dictsort; undefd|dictsort; l|dictsort; d|items|list; undefd|items|list; l|items|list; d|items; d.items(); d.keys(); d.values(); d.keys()|list; d.get('a'); d.get('zz'); d.get('zz', 5); d.get('zz') is none; d.items()|list; d|list; {}.items(); d.copy(); d.update({'x':1}); d.pop('a'); d.clear; d.setdefault; l.append(1); l.append; l.index(1); l.count(3); l.index(99); l.sort(); l.pop(); l.copy(); (1,2,1).count(1); (1,2).index(2); (1,2).copy; d.fromkeys; d.zz(); d.get(); d.get('a','b','c')
{'a':1}|tojson; nested|tojson; nested|tojson(indent=2); nested|tojson(indent=4, ensure_ascii=true); q|tojson; u|tojson; u|tojson(ensure_ascii=true); q|tojson(ensure_ascii=true); mix|tojson; (1,2)|tojson; n|tojson; f|tojson; big|tojson; nul|tojson; t|tojson; undefd|tojson; range(3)|tojson; {1:2, none:3, true:4, 1.5:6}|tojson; {(1,2):3}|tojson; []|tojson(indent=2); {}|tojson(indent=2); [[],{}]|tojson(indent=1); d|tojson(sort_keys=true); d|tojson(separators=(',',':')); nested|tojson(separators=(', ', ': '), indent=2); nested|tojson(indent='\\t'); nested|tojson(indent=0); (l|select)|tojson; d.items()|tojson; '\\x7f'|tojson(ensure_ascii=true); 1e16|tojson; 1e-7|tojson; '</script>\\''|tojson; 'a'|safe|tojson; nested|tojson(true); s|tojson|length
nul; t; f; l; d; mix; nested; q; [q]; ['a"b']; ["a'b"]; ["a'b\\"c"]; [u]; ['\\u200b','\\xad','\\ue000','\\U0001F600','\\n\\t\\r\\\\']; (1,); (); ((1,2),); {}; []; [undefd]; {1: [none]}; range(3); range(1,10,2); ['\\x7f']; [1.0, 1e100, -0.0]; big; tiny; [s|safe]; [1,2]|string; d|string|length; {'a': undefd}
undefd|default('x'); nul|default('x'); e|default('x', true); e|d('x'); n|default; undefd|default; nul|default('x', boolean=true); d.zz|default('q'); 0|default(5,true); undefd.x|default('q')
'3'|int; '3.7'|int; 'x'|int; 'x'|int(5); 3.9|int; -3.9|int; nul|int; t|int; '0x1f'|int(0,16); '1f'|int(base=16); ' 12 '|int; '1_000'|int; '1e3'|int; undefd|int; l|int; '-5'|int; '--5'|int; '+5'|int; ''|int; 'inf'|int; '0b11'|int(0,2); '3.5'|float; 'x'|float; 'x'|float(1.5); 3|float; 'nan'|float; '-inf'|float; '1_0.5'|float; nul|float; '.5'|float; '5.'|float; '1e400'|float; undefd|float; ''|float
42.55|round; 42.55|round(1); 2.5|round; 3.5|round; 42|round; 42.55|round(1,'floor'); 42.55|round(1,'ceil'); 42.4|round|int; 1234|round(-2); 1250|round(-2); 1350|round(-2); -42.55|round; 2.675|round(2); 's'|round; 5|round(2,'floor'); 0.5|round(0,'zz'); 1234.5|round(-2); 1e300|round; -2|abs; -2.5|abs; 's'|abs; t|abs; n|round(1)
lines|indent; lines|indent(2); lines|indent(2, true); lines|indent(2, true, true); lines|indent('> '); 'a\\n'|indent~'|'; ''|indent~'|'; n|indent; lines|indent(width=3, first=true); lines|indent(blank=true); undefd|indent; lines|indent(0)
'%s-%s'|format(1,'a'); '%d'|format(3.7); '%05.2f' % 3.14159; '%5s|%-5s|' % ('a','b'); '%x %X %o %#x' % (255,255,8,255); '%e' % 12345.678; '%g' % 0.00001; '%r' % 'a'; '%s' % l; '%%' % (); '%s' % (1,2); '%s %s' % 1; '%(a)s' % {'a':5}; '%(zz)s' % {'a':5}; '%c' % 65; '%c' % 'x'; '%+d % d' % (5,5); '%.3s' % 'abcdef'; '%*d' % (5, 3); '%d' % 'a'; '%z' % 1; 'a' % 1; 'a' % d; 'a' % l; '%s' % undefd; '%s' % nul; '%d' % true; '%i' % -3.9; '%05d' % -42; '%-6d|' % 42; '%6.2f|' % 3.14159; '%(a)d'|format(a=3); '%.2f%%' % 12.345; '%.0f' % 2.5; '%G' % 1e20; '%u' % 7; '%s' % (l,); '%s %%' % 'x'; '%5%' % ()
'{} {}'.format(1,'a'); '{0} {1} {0}'.format(1,2); '{a}'.format(a=3); '{a.b}'.format(a={'b':3}); '{a[b]}'.format(a={'b':3}); '{0[1]}'.format(l); '{:>5}|{:<5}|{:^5}|'.format('a','b','c'); '{:*^7}'.format('x'); '{:05d}'.format(42); '{:.2f}'.format(3.14159); '{:,}'.format(1234567); '{:,.2f}'.format(1234567.891); '{:x}'.format(255); '{:#x}'.format(255); '{:b}'.format(5); '{:e}'.format(12345.6); '{:%}'.format(0.25); '{!r}'.format('a'); '{!s:>4}'.format(1); '{{}}'.format(); '{'.format(); '}'.format(); '{}'.format(); '{zz}'.format(); '{:{}}'.format('a', 5); '{:d}'.format('a'); '{:s}'.format(1); '{}'.format(l); '{:>10}'.format(l); '{:g}'.format(1e20); '{}'.format(1e20); '{:.3}'.format('abcdef'); '{:.3}'.format(3.14159); '{:5}|'.format(3); '{:<5}|'.format(3); '{:+}'.format(5); '{:n}'.format(5); '{:c}'.format(65); '{:05}'.format(-3.5); '{:05}'.format('a'); '{a}'.format_map({'a':1}); '{:}'.format(true); '{:d}'.format(true); '{}'.format(nul); '{:5}'.format(nul); '{.__class__}'.format(1); '{0.x}'.format({'x':1}); '{:.1f}'.format(2.25); '{:.0f}'.format(0.5); '{:_}'.format(1234567)
'<b>&"\\''|e; '<b>'|escape|escape; '<b>'|e|forceescape; '<b>'|safe; '<b>'|safe + '<i>'; '<i>' + ('<b>'|safe); '<i>' ~ ('<b>'|safe); ('<b>'|safe) ~ '"'; ('%s'|safe) % '<'; ('<'|safe)*2; ('<b>'|safe).join(['<','>']); ('a<b'|safe)|replace('<','&'); ('a'|safe).replace('a','<'); ('<b>'|safe)|upper + '<'; ('<b>'|safe)|trim + '<'; ('<b>'|safe)[0] + '<'; n|safe + '<'; n|e; l|e; ('<{}>'|safe).format('<'); ('<b>'|safe)|string + '<'; ('a b'|safe).split()[0] + '<'; ('<b>'|safe)|lower + '<'; '"' + '<'|safe; '<'|safe == '<'; ('<'|safe)|list; [('<'|safe)]|join + '<'; ('<'|safe)|indent + '<'; undefd|safe ~ 'x'; ('x'|safe).upper() + '<'; ('x'|safe)|capitalize + '<'; ('x'|safe)|title + '<'
l|batch(2)|list; l|batch(2,'x')|list; l|slice(2)|list; l|slice(2,'x')|list; [1,2,3,4]|slice(2,'x')|list; []|batch(2)|list; []|slice(2)|list; m|groupby('role')|list|length; m|groupby('role'); m|groupby('n')|map(attribute='grouper')|list; m|groupby('n')|map('first')|list; m|groupby('zz')|length; m|groupby('zz', default='q')|map(attribute='grouper')|list; ['a','B','A']|groupby(0)|list|length; range(7)|batch(3)|map('list')|list; range(7)|slice(3)|list
s|truncate(5); s|truncate(9); 'foo bar baz qux'|truncate(9); 'foo bar baz qux'|truncate(9,true); 'foo bar baz qux'|truncate(11); 'foo bar baz qux'|truncate(11,false,'...',0); s|truncate(2); 'a b, c-d e_f'|wordcount; ''|wordcount; 'a b/c?d=é'|urlencode; {'a b':'c&d','e':1}|urlencode; [('a','b')]|urlencode; 5|urlencode
l|list; s|list; d|list; n|list; nul|list; undefd|list; range(3)|list; (1,2)|list; u|list|length; l|string; n|string; nul|string; undefd|string; true|string|length; s|string|upper
s|attr('upper'); d|attr('a'); d|attr('zz') is defined; n|attr('x'); l|attr('append')
range(3)|list; range(1,4)|list; range(5,0,-2)|list; range(0); range(100001)|length; range(1,2,0)|list; range('a'); range()|list; range(-3)|list; range(3)|sum; range(3)[1]; dict(a=1,b=2); dict({'a':1}, b=2); dict([('a',1)]); dict(); dict(1); dict(l); namespace(a=1).a; namespace({'a':1}, b=2).b; namespace(); namespace(a=1)['a']; namespace().zz; lipsum is defined; joiner is defined; cycler('a','b').next(); cycler(); strftime_now('%d %b %Y'); strftime_now('%Y-%m-%d %H:%M:%S'); strftime_now('%A %a %B %j %U %W %V %G %u %w %y %I %p %%'); strftime_now('%c|%x|%X|%D|%F|%T|%R|%e|%-d|%-m|%h|%n|%t|%C|%Z|%z|%q'); strftime_now(); strftime_now('%f'); raise_exception('boom'); raise_exception(); strftime_now('')
undefd; undefd(); undefd.x; n(); s(); l(); nul(); zz.upper(); s.zz(); s.upper; s.__class__; s.__class__.__mro__; ''.__class__.__base__; s._private; l.__len__; d.__class__ ; m[0].__init__; namespace().__class__; range.__globals__; s['__class__']; s.upper.__self__; (s|attr('__class__')) is defined; cycler.__init__; joiner.__init__.__globals__; self; config; request; get_flashed_messages; loop; caller; varargs; kwargs; self.x; True; False; None; true; none
[1,2,3,]; (1,2,3,); {'a':1,}; {'a':1,'a':2}; {[1]:2}; {1:1, 1.0:2, true:3}; [1 for x in l]; {'a'}; (1); (1,); [l, *l]; {**d}; l if l; 'a' 'b' "c"; 'a' if true else; 'abc' | upper | lower; -5|abs; -'a'; 3 is odd and 4 is even; not 3 is even; 'a' in 'abc' in ['abc']; 5 | string ~ 'x'; 5|string|length + 1; l|length > 2 and n; (l|length) * 2; l|length * 2; s|upper.lower; s|length == 12; [1,2][0]; {'a': 1}.a; {'a':{'b':2}}.a.b; (l)[0]; 'abc'[1]; 'abc'.upper()[1:]; 1.5.x; l.0; l.0.1; 1 if 1; 'x' * (2 if t else 3); f"x"; lambda: 1; a b; l[; (1; 'unclosed; {{ 1 }}; 1 +; * 2; s..x; s.|upper; |upper; s|; n is; n is not; 1 < ; and 1; not; s.upper(; s.replace('a',old='b'); s|replace(old='H', new='J'); s|replace('H'); d.get(key='a'); range(stop=3)|list; dict(**{'a':1}); dict(*[]); s.replace(*['l','L']); '{}-{}'.format(*l[:2]); '{a}'.format(**{'a':5}); namespace(**d).a; s.split(',', *[1]); 1 is defined is true; n is in(l); n is divisibleby n; 'x' is string and 'y'; n if n is odd else 'even'; loop.index; 10 % 3 ~ 'a'; 2 + 3 ~ 'b'; 'a' + 'b' ~ 'c' * 2; 1 - 1 - 1; 8 / 2 / 2; 2 ** 2 ** 3; 7 // 2 * 2; 10 - 2 * 3; (10 - 2) * 3; 1 + 2 == 3; not 1 == 2; not (1 == 1) or true; 1 and 2 or 3; '' or [] or {} or 'last'; 5 in [5] == true
"\\x41\\u00e9\\U0001F600\\101\\q\\\n"; 'tab\\tnl\\n'; "a\\'b"; 'a"b'; "multi\nline"; '\\'; '\\N{DASH}'; '\\ud83d\\ude00'; "\\x4"; '\\0'; "é"; r'x'; '\\a\\b\\f\\v'|tojson
"""
B = r'''
{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.previtem }}{{ loop.nextitem }};{% endfor %}
{% for x in l %}{{ loop.previtem is defined }}{{ loop.nextitem is undefined }}{% endfor %}
{% for x in l %}{{ loop.cycle('a','b') }}{{ loop.changed(x > 1) }}{% else %}none{% endfor %}
{% for x in [] %}a{% else %}empty{% endfor %}
{% for x in l if x > 1 %}{{ x }}/{{ loop.length }} {% else %}none{% endfor %}
{% for x in l if x > 9 %}{{ x }}{% else %}none{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }},{% endfor %}
{% for k, v in d|dictsort %}{{ k }}={{ v }},{% endfor %}
{% for k in d %}{{ k }}{% endfor %}
{% for a, b in [(1,2),(3,4)] %}{{ a }}{{ b }}{% endfor %}
{% for a, b in [(1,2,3)] %}{{ a }}{% endfor %}
{% for (a, b) in [(1,2)] %}{{ a }}{{ b }}{% endfor %}
{% for a, (b, c) in [(1,(2,3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for x in undefd %}a{% else %}e{% endfor %}
{% for x in nul %}a{% endfor %}
{% for x in n %}a{% endfor %}
{% for c in s %}{{ c }}.{% endfor %}
{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% if x == 2 %}{% break %}{% endif %}{% endfor %}
{% for x in range(10) %}{% if x > 3 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% for x in l %}{% for y in ls %}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}
{% for x in l %}{% set outer = loop %}{% for y in l %}{{ outer.index }}{% endfor %}{% endfor %}
{% for item in [{'n':1,'c':[{'n':2,'c':[]},{'n':3,'c':[{'n':4,'c':[]}]}]}] recursive %}{{ item.n }}@{{ loop.depth }}{% if item.c %}({{ loop(item.c) }}){% endif %}{% endfor %}
{% for x in l %}{{ loop(l) }}{% endfor %}
{% for x in l|select('odd') %}{{ x }}{{ loop.length }}{{ loop.last }}{% endfor %}
{% set g = l|select('odd') %}{{ g|list }}{{ g|list }}{{ g is defined }}
{% set g = l|map('string') %}{{ g|first }}{{ g|list }}
{% for x in 'ab', 'cd' %}{{ x }}{% endfor %}
{% for x in l recursive %}{{ x }}{% endfor %}
{{ loop }}{% for x in l %}{{ loop }}{% endfor %}
{% for loop in l %}{{ loop }}{% endfor %}
{% for x in l %}{{ x }}{% endfor %}{{ x }}
{% for x in l -%} {{ x }} {%- endfor %}
{% set x = 1 %}{% for i in l %}{{ x }}{% set x = i %}{{ x }}{% endfor %}{{ x }}
{% set x = 1 %}{% if t %}{% set x = 2 %}{% endif %}{{ x }}
{% if t %}{% set x = 2 %}{% endif %}{{ x }}
{% if fl %}{% set x = 2 %}{% endif %}{{ x }}|{{ x is defined }}
{% set ns = namespace(x=1, y=[]) %}{% for i in l %}{% set ns.x = ns.x + i %}{% set ns.y = ns.y + [i] %}{% endfor %}{{ ns.x }}{{ ns.y }}
{% set ns = namespace() %}{% set ns.a = 5 %}{{ ns.a }}{{ ns.b is defined }}
{% set d.x = 5 %}
{% set zz.x = 5 %}
{% set a, b = 1, 2 %}{{ a }}{{ b }}
{% set a, b = [1] %}
{% set (a, b) = 1, 2 %}{{ a }}{{ b }}
{% set a = 1, 2 %}{{ a }}
{% set x %}hello {{ n }}{% endset %}{{ x }}|{{ x|upper }}
{% set x | upper %}hello{% endset %}{{ x }}
{% set x | replace('l','L') | trim %} hello {% endset %}[{{ x }}]
{% set ns = namespace(v='') %}{% set ns.v %}block{% endset %}{{ ns.v }}
{% set x %}{% set y = 3 %}{{ y }}{% endset %}{{ x }}{{ y }}
{% set x = undefd %}{{ x is defined }}
{% set true = 1 %}
{% set x.y.z = 1 %}
{% set s = s|upper %}{{ s }}
{% set messages = l %}{{ messages }}
{% if n > 5 %}a{% elif n > 3 %}b{% else %}c{% endif %}
{% if fl %}a{% elif nul %}b{% elif t %}x{% else %}c{% endif %}
{% if undefd %}a{% else %}b{% endif %}
{% if undefd.x %}a{% endif %}
{% if d.zz %}a{% else %}b{% endif %}
{% if n is odd and not fl %}ok{% endif %}
{% if (l|select) %}y{% else %}n{% endif %}
{% if 0.0 %}y{% else %}n{% endif %}{% if [] %}y{% else %}n{% endif %}{% if {} %}y{% else %}n{% endif %}{% if ' ' %}y{% else %}n{% endif %}{% if range(0) %}y{% else %}n{% endif %}{% if d.items() %}y{% endif %}{% if namespace() %}y{% endif %}
{% macro f(a, b=2, c='x') %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ f(1) }}{{ f(1, c=5) }}{{ f(1,2,3) }}{{ f(b=1, a=2) }}{{ f() }}
{% macro f(a) %}{{ a is defined }}{% endmacro %}{{ f() }}{{ f(none) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1,2) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(zz=2) }}
{% macro f() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1,2,x=3) }}
{% macro f(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}
{% macro f(n) %}{% if n > 0 %}{{ n }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}
{% macro f() %}{{ x }}{% endmacro %}{% set x = 5 %}{{ f() }}
{% set x = 1 %}{% macro f() %}{% set x = 2 %}{{ x }}{% endmacro %}{{ f() }}{{ x }}
{% macro f() %}{{ n }}{% endmacro %}{% for n in l %}{{ f() }}{% endfor %}
{% macro f() %}{{ caller() }}!{% endmacro %}{% call f() %}body{{ n }}{% endcall %}
{% macro f() %}{{ caller(1, 2) }}!{% endmacro %}{% call(a, b=3) f() %}{{ a }}{{ b }}{% endcall %}
{% macro f() %}x{% endmacro %}{% call f() %}body{% endcall %}
{% macro f() %}{{ caller() }}{% endmacro %}{{ f() }}
{% macro f() %}{{ caller is defined }}{% endmacro %}{{ f() }}
{% macro f() %}  hi  {% endmacro %}{{ f()|trim }}{{ f() is string }}{{ f()|length }}{{ f.name }}
{{ f() }}{% macro f() %}x{% endmacro %}
{% macro f(x) %}{{ x }}{% endmacro %}{{ [1,2]|map('string')|join }}{{ f }}
{% macro f(x) -%}   {{ x }}   {%- endmacro %}[{{ f(1) }}]
{% macro outer() %}{% macro inner() %}i{% endmacro %}{{ inner() }}{% endmacro %}{{ outer() }}{{ inner }}
{% macro f(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ f(*[1,2]) }}{{ f(**{'a':1,'b':2}) }}{{ f(1, *[2]) }}
{% macro f(a=1, b) %}{% endmacro %}
{% macro f(messages) %}{{ messages }}{% endmacro %}{{ f(3) }}{{ messages }}
{% macro loop_it(xs) %}{% for x in xs %}{{ loop.index }}{{ x }}{% endfor %}{% endmacro %}{% for i in [1,2] %}{{ loop_it(l) }}{{ loop.index }}{% endfor %}
{% filter upper %}hello {{ s }}{% endfilter %}
{% filter replace('l', 'L') | upper %}hello{% endfilter %}
{% filter indent(2) %}a
b{% endfilter %}
{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}
{% with %}{% set x = 1 %}{{ x }}{% endwith %}{{ x }}
{% set a = 5 %}{% with a = 1, b = a %}{{ b }}{% endwith %}
{% generation %}hello {{ n }}{% set z = 1 %}{% endgeneration %}{{ z }}
{% for m in m %}{% generation %}{{ loop.index }}{{ m.role }}{% endgeneration %}{% endfor %}
{% raw %}{{ x }} {% if %}{% endraw %}
{% raw -%}  {{ x }}  {%- endraw %}|
a{%- raw %} x {% endraw -%} b
{# comment #}a{#- c -#} b {# d
e #}
x
a {#- x #} b
a {# x -#} b
  {# x #}
y
{{ 1 -}}   x {{- 2 }}
a  {{- 1 }}  b  {{ 2 -}}  c
a
  {% if t %}
  b
  {% endif %}
c
a
  {%+ if t %}
  b
  {%+ endif %}
c
a {% if t %} b {% endif %} c
a
{%- if t -%}
  b
{%- endif -%}
c
a{% if t +%}
b{% endif +%}
c
	{% if t %}x{% endif %}
  z {% if t %}
  y
	 {% endif %}
{{ 1 }}
{{ 2 }}

{% if t %}
x
{% endif %}

y
  {{ n }}
   {% set x = 1 %} {{ x }}
{%if t%}x{%endif%}
{%-if t-%}x{%-endif-%}
{{n}}{{-n-}}
{{ {'a':{'b':1}} }}
{{ {'a':{'b':{}}}.a.b }}
{{'}}'}}{{"%}"}}
{{ '{{' }}{{ '{%' }}{{ '#}' }}
{ { x } } {x} { {% if t %}{% endif %}
text only
line1
line2
100% {# #}% {{ '%' }}
{% print(1, 2) %}{% print n, s %}
{% if t: %}x{% endif %}
{% for x in l: %}{{ x }}{% endfor %}
{% set c = cycler('a','b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}
{% set j = joiner('|') %}{% for x in l %}{{ j() }}{{ x }}{% endfor %}
{% set j = joiner() %}{{ j() }}{{ j() }}
{% if true %}a{% endif
{% if true %}a
{% endif %}
{% for x in %}{% endfor %}
{% for in l %}{% endfor %}
{% unknown %}
{% break %}
{% else %}
{{ }}
{% %}
{% if %}{% endif %}
{% set %}
{% set x %}
{% macro %}{% endmacro %}
{% endfor %}
{{ x
{# unclosed
{% raw %} unclosed
{{ 'a }}
{{ a b }}
{% for x in l %}{% endif %}
{% if t %}{% for x in l %}{% endif %}{% endfor %}
{{ n | zzz }}
{% if fl %}{{ n | zzz }}{% endif %}ok
{% if fl %}{{ zzz() }}{% endif %}ok
{% for m in m %}<|{{ m.role }}|>{{ m.content }}{% if not loop.last %}
{% endif %}{% endfor %}
{%- for message in m -%}
    {%- if message.role == 'user' -%}
        {{ '[INST] ' + message.content + ' [/INST]' }}
    {%- elif message['role'] == 'assistant' -%}
        {{ message.content }}
    {%- endif -%}
{%- endfor -%}
{% for message in m %}{% if loop.first and message.role != 'system' %}SYS{% endif %}{{ '<|im_start|>' + message['role'] + '\n' + (message['content'] or '') + '<|im_end|>' + '\n' }}{% endfor %}
{% set loop_messages = m[1:] %}{{ loop_messages|length }}{% set sys = m[0]['content'] %}{{ sys }}
{% for message in m %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}{% endfor %}ok
{%- set ns = namespace(found=false, last=-1) -%}{%- for message in m[::-1] -%}{%- set index = (m|length - 1) - loop.index0 -%}{%- if not ns.found and message.role == 'user' -%}{%- set ns.found = true -%}{%- set ns.last = index -%}{%- endif -%}{%- endfor -%}{{ ns.last }}
{%- macro render_extra_keys(json_dict, handled_keys) -%}{%- if json_dict is mapping %}{%- for json_key in json_dict if json_key not in handled_keys %}{%- if json_dict[json_key] is mapping or (json_dict[json_key] is sequence and json_dict[json_key] is not string) %}{{- '\n<' ~ json_key ~ '>' ~ (json_dict[json_key] | tojson | safe) ~ '</' ~ json_key ~ '>' }}{%- else %}{{-'\n<' ~ json_key ~ '>' ~ (json_dict[json_key] | string) ~ '</' ~ json_key ~ '>' }}{%- endif %}{%- endfor %}{%- endif %}{% endmacro %}{{ render_extra_keys(nested, ['a']) }}{{ render_extra_keys(d, ['a']) }}
{% set x = {'a': 1, 'b': [1,2]} %}{% for k, v in x.items() %}{{ k }}:{% if v is iterable and v is not string %}{% for i in v %}{{ i }}{{ ',' if not loop.last }}{% endfor %}{% else %}{{ v }}{% endif %};{% endfor %}
{% for m in m %}{% set content = m.content if m.content is string else '' %}{{ content|trim + '!' }}{% endfor %}
{{ m[-1].content }}{{ m[-1]['content'][:1] }}{{ (m|last).role }}{{ m|selectattr('role','equalto','user')|map(attribute='content')|join('+') }}
{% set args = {'k': 'v'} %}{{ args | tojson }}{% if args is string %}s{% else %}{{ args|items|list }}{% endif %}
{% set ns = namespace(a=[]) %}{% for i in l %}{% set ns.a = ns.a + [i * 2] %}{% endfor %}{{ ns.a|join(' ') }}{{ ns }}
{% set ns = namespace(a=1) %}{% set ns.self = ns %}{{ ns.self.self.a }}
{% do l.append(1) %}
{% include 'x' %}
{% import 'x' as y %}
{% extends 'x' %}
{% block a %}x{% endblock %}
{{ self.a() }}
{% autoescape true %}{{ '<' }}{% endautoescape %}
{% trans %}x{% endtrans %}
{% debug %}
'''
M = ["a\n  {% if t %}\n  b\n  {% endif %}\nc\n", "a\n  {%+ if t %}\n  b\n  {%+ endif %}\nc", "a\n{%- if t -%}\n  b\n{%- endif -%}\nc\n\n", "a{% if t +%}\nb{% endif +%}\nc", "\t{% if t %}x{% endif %}\t\n", "  z {% if t %}\n  y\n\t {% endif %}  \n q",
 "{{ 1 }}\n{{ 2 }}\n", "\n\n{% if t %}\n\nx\n{% endif %}\n\ny\n\n", "   {% set x = 1 %} {{ x }}\n", "{# c #}\nx\n{#- d -#}\n y", "a {# d\ne #}\nx", "  {# x #}\ny", "  {#+ x #}\ny", "  {# x +#}\ny", "a\r\nb\r{% if t %}\r\nc{% endif %}\r\n", "{% for x in l %}\n  {{ x }}\n{% endfor %}\n", "{% for x in l %}\n  {{ x }}\n  {%- if not loop.last %}, {% endif %}\n{% endfor %}",
 "{%- for x in l %}\n    {{- x }}\n{%- endfor %}", "x\n  {% raw %}\n  {{ y }}\n  {% endraw %}\nz", "x\n  {%- raw -%}\n  {{ y }}\n  {%- endraw -%}\nz", "x {% raw +%} a {%+ endraw %} y", "{{ 1\n+\n2 }}", "{{ 'a\nb' }}", "{% if\n t\n%}x{% endif %}", "\ufeff{{ 1 }}", "\u00a0{% if t %}x{% endif %}\u00a0", "a\u2028  {% if t %}x{% endif %}", "{% if t %}{% if t %}\n  {% if t %}x{% endif %}\n{% endif %}\n{% endif %}\n", "{{ n }}  {% if t %}x{% endif %}", "{% if t %}  {% if t %}x{% endif %}{% endif %}", "{% if t %}\n  {% if t %}\nx\n  {% endif %}\n  {% endif %}\n", "{{ '\\n' }}\n{% if t %}y{% endif %}", "", "\n", "\n\n", " ", "{{ '' }}\n", "{% set a = 1 %}\n{% set b = 2 %}\n{{ a }}{{ b }}\n", "{%- set a = 1 %}\n\n{%- set b = 2 %}\n\n{{ a }}", "a\n\n{%- if t %}\n\nb\n\n{%- endif %}\n\nc", "{{ 1 -}}\n\n  x\n{{- 2 -}}\n", "{{- '\\n' -}}  {{ 'x' }}", "{{+ 1 }}", "{{ 1 +}}", "{%+ set x = 1 +%}\n{{ x }}", "  {%- set x = 1 +%}\n{{ x }}", "{% macro f(x) %}\n  [{{ x }}]\n{% endmacro %}\n{{ f(1) }}\n{{ f(2) }}", "{% set x %}\n  a\n{% endset %}[{{ x }}]", "{% call(x) f() %}{% endcall %}", "{% filter indent(2) %}\na\nb\n{% endfilter %}", "{% for a in l %}{% for b in l %}{% if b == 1 %}{% break %}{% endif %}{{ b }}{% endfor %}{{ a }}{% endfor %}", "{{ {} }}{{ {'a': {}} }}{{ {'a':{'b':{'c':1}}}['a']['b'] }}", "{% for x in range(3) %}{{ x }}{{ ', ' if not loop.last else '' }}{% endfor %}", "{% for i in range(3) %}{% set x = i %}{% endfor %}{{ x is defined }}", "{% set x = 0 %}{% for i in range(3) %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}", "{% if t %}{% macro f() %}m{% endmacro %}{% endif %}{{ f() }}", "{% for i in l %}{% macro f() %}m{{ i }}{% endmacro %}{{ f() }}{% endfor %}{{ f is defined }}"]

# Where this interpreter parts from Python on purpose: addresses and names of Python's objects, statements that it
# refuses (block, autoescape), and accidents that no template relies on.
DEVIATIONS = {
    "{{ u.swapcase() }}", "{{ d.fromkeys }}", "{{ '%5%' % () }}", "{{ '{.__class__}'.format(1) }}",
    "{{ '{:_}'.format(1234567) }}", "{{ lipsum is defined }}", "{{ self }}", "{{ self.x }}", "{{ self.a() }}",
    "{{ d.get(key='a') }}", "{{ '\\ud83d\\ude00' }}", "{% for loop in l %}{{ loop }}{% endfor %}",
    "{% block a %}x{% endblock %}", "{% autoescape true %}{{ '<' }}{% endautoescape %}",
}


def snippets():
    for line in E.strip().split("\n"):
        for expression in line.split(";"):
            yield "{{ " + expression.strip() + " }}"
    yield from B.strip("\n").split("\n")
    yield from M


print(json.dumps(CTX))
for template in dict.fromkeys(snippets()):
    if template in DEVIATIONS:
        continue
    try:
        expected = env.from_string(template).render(**CTX, messages=None, tools=None, add_generation_prompt=True)
        expected.encode()
    except Exception:
        print(json.dumps({"t": template, "x": 1}))
        continue
    if " at 0x" not in expected:
        print(json.dumps({"t": template, "e": expected}, ensure_ascii=True))
