/* Before the first paint: the user's choice of theme, else what the system prefers. */
(function () {
  var choice = null;
  try {
    choice = localStorage.getItem('oculi.theme');
  } catch (e) {
    choice = null;
  }
  if (choice !== 'dark' && choice !== 'light')
    choice = matchMedia('(prefers-color-scheme: light)').matches ? 'light' : 'dark';
  document.documentElement.dataset.theme = choice;
})();
