/**
 * Remembers what a pure function said, for at most `most` keys. When that many are known, all are forgotten: cheaper
 * than keeping an order, and right for what is asked again within moments or not at all.
 */
export function memo<Key, Value>(make: (key: Key) => Value, most = 1024): (key: Key) => Value {
  let known = new Map<Key, Value>();
  return (key) => {
    let value = known.get(key);
    if (value === undefined) {
      if (known.size >= most) known = new Map();
      known.set(key, value = make(key));
    }
    return value;
  };
}
