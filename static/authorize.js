// A long authorization request goes by POST; without JavaScript the button does it.
document.getElementById("authorize").submit();
